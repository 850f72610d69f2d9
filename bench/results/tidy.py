"""Records as tidy tables: one row for every number."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import pandas as pd

from lapbench.measure.timing import Timing
from lapbench.results.records import Record
from lapbench.suite.names import name_cells
from lapbench.suite.plan import Plan

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


def tidy(
    plan: Plan, records: Mapping[str, Record], refused: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Numbers of planned cells as a tidy frame; see ``load_records``.

    Args:
        plan: whose cells.
        records: by key; those of other cells are left out.
        refused: by key, why a record cannot be read.

    """
    unread = refused or {}
    rows = []
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        record = records.get(planned.key)
        missing = "refused" if planned.key in unread else "not run"
        fixed = {
            **names,
            "training": planned.cell.training,
            "gradient": planned.gradient,
            "repetition": planned.cell.repetition,
            "key": planned.key,
            "status": record.status if record else missing,
            "reason": record.reason if record else unread.get(planned.key, "not run yet"),
        }
        numbers = _numbers(record) if record and record.status == "ok" else [{}]
        rows += [{**fixed, **_UNATTACKED, **number} for number in numbers]
    return pd.DataFrame(rows, columns=COLUMNS)


def tidy_flags(plan: Plan, records: Mapping[str, Record]) -> pd.DataFrame:
    """All checks for hidden gradients, one row a cell and check, with the cell's names."""
    rows = [
        {
            **names,
            "training": planned.cell.training,
            "repetition": planned.cell.repetition,
            **vars(flag),
        }
        for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True)
        if planned.key in records
        for flag in records[planned.key].flags
    ]
    return pd.DataFrame(rows, columns=FLAG_COLUMNS)


def _numbers(record: Record) -> Iterable[dict[str, Any]]:
    yield from map(vars, record.metrics)
    timing = record.timing
    if timing is None:
        return
    if timing.step_seconds:
        for metric, value in _typical(timing):
            yield _number(metric, value, len(timing.step_seconds))
    for metric, value in _memory(timing):
        yield _number(metric, value, 1)
    for stage, seconds in timing.stages.items():
        yield _number(f"stage: {stage}", median(seconds), timing.training_samples)
        if softmax := timing.softmax_pass_seconds:
            ratios = [own / other for own, other in zip(seconds, softmax, strict=True)]
            yield _number(f"stage_ratio: {stage}", median(ratios), len(ratios))
    for attack, spent in timing.attacks.items():
        yield _number("attack_seconds", spent, 1, split="") | {"attack": attack}


def _number(metric: str, value: float, count: int, split: str = "train") -> dict[str, Any]:
    return {"metric": metric, "split": split, "value": value, "count": count}


def _typical(timing: Timing) -> Iterable[tuple[str, float]]:
    """Yield ratio and seconds of a step: medians of phases, averaged over all epochs."""
    by_phase: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    times = zip(timing.phases, timing.step_seconds, timing.softmax_step_seconds, strict=True)
    for phase, own, softmax in times:
        by_phase[phase].append((own / softmax, own))
    # Earlier records have one pair of times an epoch.
    epochs = {phase: timing.epochs.get(phase, len(steps)) for phase, steps in by_phase.items()}
    for place, metric in enumerate(("step_ratio", "step_seconds")):
        medians = {p: median(step[place] for step in steps) for p, steps in by_phase.items()}
        total = sum(epochs[phase] * value for phase, value in medians.items())
        yield metric, total / sum(epochs.values())
    yield "training_seconds", timing.training_seconds


def _memory(timing: Timing) -> Iterable[tuple[str, float]]:
    """Yield the bytes that a step saves for its backward pass, and over those of softmax."""
    own, softmax = timing.saved_bytes, timing.softmax_saved_bytes
    if own is not None:
        yield "saved_megabytes", own / 1e6
        if softmax:
            yield "saved_ratio", own / softmax
