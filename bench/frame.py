"""Records as tidy tables: one row for every number."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from lapbench.cells import Cell, Component
from lapbench.records import Plan, PlannedCell, Record, ResultsFolder

COLUMNS = [
    "task",
    "backbone",
    "method",
    "training",
    "gradient",
    "repetition",
    "key",
    "status",
    "reason",
    "metric",
    "split",
    "value",
    "count",
    "attack",
    "norm",
    "parameter",
    "level",
    "steps",
]
FLAG_COLUMNS = [
    "task",
    "backbone",
    "method",
    "training",
    "repetition",
    "name",
    "verdict",
    "evidence",
]
_UNATTACKED = {"attack": "", "norm": "", "parameter": "", "level": 0.0, "steps": 0}


def load_records(folder: str | Path) -> pd.DataFrame:
    """Return all numbers of a results folder as a tidy frame, one row a number.

    Columns: ``task, backbone, method, training, gradient, repetition, key, status, reason, metric,
    split, value, count``, and ``attack, norm, parameter, level, steps`` of numbers under an attack,
    empty and 0 elsewhere. A planned cell without numbers (failed, diverged, skipped, not run yet)
    has one row with a missing ``metric``, so that it is not lost. A name is followed by those of
    its parameters that differ within the plan. The time of a stage is the metric ``"stage: …"`` in
    seconds, the median over the repeats; its count are the training samples. The seconds of an
    attack are the metric ``attack_seconds``. Published figures are
    metrics ``published_…`` of the first repetition.

    Raises:
        RecordError: if the folder has no plan, or a file is damaged or of another schema.

    """
    results = ResultsFolder(folder)
    return tidy(results.read_plan(), read_planned(results))


def read_planned(folder: ResultsFolder) -> dict[str, Record]:
    """Return the records of a folder that belong to its plan, by key."""
    planned = {cell.key for cell in folder.read_plan().cells}
    return {key: folder.read_record(key) for key in folder.list_keys() if key in planned}


def tidy(plan: Plan, records: dict[str, Record]) -> pd.DataFrame:
    """Return the numbers of planned cells as a tidy frame; see :func:`load_records`."""
    rows = []
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        record = records.get(planned.key)
        fixed = {
            **names,
            "training": planned.cell.training,
            "gradient": planned.gradient,
            "repetition": planned.cell.repetition,
            "key": planned.key,
            "status": record.status if record else "not run",
            "reason": record.reason if record else "not run yet",
        }
        numbers = _numbers(record) if record and record.status == "ok" else [{}]
        rows += [{**fixed, **_UNATTACKED, **number} for number in (*numbers, *_published(planned))]
    return pd.DataFrame(rows, columns=COLUMNS)


def tidy_flags(plan: Plan, records: dict[str, Record]) -> pd.DataFrame:
    """Return the checks for hidden gradients, one row a cell and check, with the cell's names."""
    rows = [
        {
            **names,
            "training": planned.cell.training,
            "repetition": planned.cell.repetition,
            **asdict(flag),
        }
        for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True)
        if planned.key in records
        for flag in records[planned.key].flags
    ]
    return pd.DataFrame(rows, columns=FLAG_COLUMNS)


def _published(planned: PlannedCell) -> Iterable[dict[str, Any]]:
    """Yield the published figures beside a cell, once for all its repetitions."""
    if planned.cell.repetition == 0:
        for metric, value in planned.published.items():
            yield {"metric": f"published_{metric}", "split": "", "value": value, "count": 0}


def _numbers(record: Record) -> Iterable[dict[str, Any]]:
    yield from (asdict(metric) for metric in record.metrics)
    if record.timing and record.timing.step_seconds:
        steps = pd.DataFrame(
            {
                "phase": record.timing.phases,
                "seconds": record.timing.step_seconds,
                "softmax": record.timing.softmax_step_seconds,
            }
        )
        steps["ratio"] = steps["seconds"] / steps["softmax"]
        typical = steps.groupby("phase")[["ratio", "seconds"]].transform("median").mean()
        timings = {
            "step_ratio": float(typical["ratio"]),
            "step_seconds": float(typical["seconds"]),
            "training_seconds": record.timing.training_seconds,
        }
        for metric, value in timings.items():
            yield {"metric": metric, "split": "train", "value": value, "count": len(steps)}
    if record.timing:
        for stage, seconds in record.timing.stages.items():
            yield {
                "metric": f"stage: {stage}",
                "split": "train",
                "value": median(seconds),
                "count": record.timing.training_samples,
            }
        for attack, spent in record.timing.attacks.items():
            yield {
                "metric": "attack_seconds",
                "split": "",
                "value": spent,
                "count": 1,
                "attack": attack,
            }


def name_cells(cells: Sequence[PlannedCell]) -> list[dict[str, str]]:
    """Return task, backbone and method of each cell, with the parameters that tell them apart."""
    parts: dict[str, list[list[Component]]] = {
        "task": [[_task(planned.cell)] for planned in cells],
        "backbone": [[planned.cell.backbone] for planned in cells],
        "method": [[p.cell.method.head, *p.cell.method.terms] for p in cells],
    }
    columns = {column: _tell_apart(each) for column, each in parts.items()}
    columns["method"] = [
        planned.label or _with_variant(name.removeprefix("softmax + "), variant)
        for name, planned, variant in zip(columns["method"], cells, _variants(cells), strict=True)
    ]
    return [dict(zip(columns, names, strict=True)) for names in zip(*columns.values(), strict=True)]


def _variants(cells: Sequence[PlannedCell]) -> list[list[str]]:
    """Return what tells each cell from others of its task beside the parts of its method."""
    fields = [
        {
            field: f"{value:g}" if isinstance(value, float) else str(value)
            for field, value in {**asdict(p.cell.budget), "train": p.cell.train}.items()
        }
        for p in cells
    ]
    tasks = [json.dumps([asdict(_task(p.cell)), asdict(p.cell.backbone)]) for p in cells]
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for task, own in zip(tasks, fields, strict=True):
        for field, value in own.items():
            found[task, field].add(value)
    return [
        [f"{field}={value}" for field, value in own.items() if len(found[task, field]) > 1]
        for task, own in zip(tasks, fields, strict=True)
    ]


def _with_variant(name: str, variant: list[str]) -> str:
    return f"{name} ({', '.join(variant)})".replace(") (", ", ") if variant else name


def _task(cell: Cell) -> Component:
    labeled = "all" if cell.labeled is None else cell.labeled
    return Component(cell.dataset.name, {**cell.dataset.parameters, "labeled": labeled})


def _tell_apart(items: list[list[Component]]) -> list[str]:
    """Return the joined names of each item's components, with the parameters that differ."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for components in items:
        for part in components:
            for parameter, value in part.parameters.items():
                found[part.name, parameter].add(json.dumps(value, sort_keys=True))
    names = []
    for components in items:
        several = sum(bool(part.parameters) for part in components) > 1
        differing = [
            f"{part.name}.{parameter}={value}" if several else f"{parameter}={value}"
            for part in components
            for parameter, value in part.parameters.items()
            if len(found[part.name, parameter]) > 1 and value is not None
        ]
        name = " + ".join(part.name for part in components)
        names.append(f"{name} ({', '.join(differing)})" if differing else name)
    return names
