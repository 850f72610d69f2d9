"""Records as tidy tables: one row for every number."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from lapbench.cells import Cell, Method
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
]


def load_records(folder: str | Path) -> pd.DataFrame:
    """Return all numbers of a results folder as a tidy frame, one row a number.

    Columns: ``task, backbone, method, training, gradient, repetition, key, status, reason, metric,
    split, value, count``. A planned cell without numbers (failed, diverged, skipped, not run yet)
    has one row with a missing ``metric``, so that it is not lost. A name is followed by those of
    its parameters that differ within the plan. The time of a stage is the metric ``"stage: …"`` in
    seconds, the median over the repeats; its count are the training samples.

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
        rows += [{**fixed, **number} for number in numbers]
    return pd.DataFrame(rows, columns=COLUMNS)


def _numbers(record: Record) -> Iterable[dict[str, Any]]:
    yield from (asdict(metric) for metric in record.metrics)
    if record.timing and record.timing.step_seconds:
        steps, softmax = record.timing.step_seconds, record.timing.softmax_step_seconds
        timings = {
            "step_ratio": median(a / b for a, b in zip(steps, softmax, strict=True)),
            "step_seconds": median(steps),
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


def name_cells(cells: Sequence[PlannedCell]) -> list[dict[str, str]]:
    """Return task, backbone and method of each cell, with the parameters that tell them apart."""
    rates = {cell.cell.budget.learning_rate for cell in cells}
    columns = {
        "task": _tell_apart([_task(cell.cell) for cell in cells]),
        "backbone": _tell_apart(
            [(c.cell.backbone.name, c.cell.backbone.parameters) for c in cells]
        ),
        "method": _tell_apart([_method(cell.cell.method) for cell in cells]),
    }
    if len(rates) > 1:
        columns["method"] = [
            f"{name} (learning_rate={cell.cell.budget.learning_rate:g})".replace(") (", ", ")
            for name, cell in zip(columns["method"], cells, strict=True)
        ]
    return [dict(zip(columns, names, strict=True)) for names in zip(*columns.values(), strict=True)]


def _task(cell: Cell) -> tuple[str, dict[str, Any]]:
    labeled = "all" if cell.labeled is None else cell.labeled
    return cell.dataset.name, {**cell.dataset.parameters, "labeled": labeled}


def _method(method: Method) -> tuple[str, dict[str, Any]]:
    parts = [part for part in (method.head, *method.terms) if part.parameters]
    if len(parts) == 1:
        return method.name, parts[0].parameters
    named = [(f"{part.name}.{p}", v) for part in parts for p, v in part.parameters.items()]
    return method.name, dict(named)


def _tell_apart(items: list[tuple[str, dict[str, Any]]]) -> list[str]:
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for name, parameters in items:
        for parameter, value in parameters.items():
            found[name, parameter].add(json.dumps(value, sort_keys=True))
    names = []
    for name, parameters in items:
        differing = [f"{p}={v}" for p, v in parameters.items() if len(found[name, p]) > 1]
        names.append(f"{name} ({', '.join(differing)})" if differing else name)
    return names
