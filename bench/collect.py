"""Plan and records of one results folder, or of several as if they were one."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from lapbench.frame import name_cells, tidy
from lapbench.records import (
    SCHEMA,
    Plan,
    PlannedCell,
    Record,
    RecordError,
    ResultsFolder,
)

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Collected:
    """What a report is made from.

    Attributes:
        plan: all planned cells, of all folders.
        records: by key, those of planned cells.
        refused: by key, why the record of a planned cell cannot be read.
        homes: by key, the folder that a record is from.
        others: how many records belong to no plan.

    """

    plan: Plan
    records: dict[str, Record] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    homes: dict[str, ResultsFolder] = field(default_factory=dict)
    others: int = 0


def load_records(results: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Return all numbers of a results folder, or of several merged, one row a number.

    Columns: ``task, backbone, method, training, gradient, repetition, key, status, reason, metric,
    split, value, count``, and ``attack, norm, parameter, level, steps`` of numbers under an attack,
    empty and 0 elsewhere. A planned cell without numbers (failed, diverged, skipped, not run yet,
    or refused as its record cannot be read) has one row with a missing ``metric``, so that it is
    not lost. A name is followed by those of its parameters that differ within the plan. The time of
    a stage is the metric ``"stage: …"`` in seconds, the median over the repeats; its count are the
    training samples. The seconds of an attack are the metric ``attack_seconds``. The memory of a
    step is ``step_megabytes``, in 10⁶ bytes, and ``memory_ratio`` over that of softmax, where this
    is a megabyte or more.

    Raises:
        RecordError: if a folder has no plan, or folders contradict each other; see :func:`collect`.

    """
    found = collect(results)
    return tidy(found.plan, found.records, found.refused)


def collect(results: str | Path | Sequence[str | Path]) -> Collected:
    """Return plan and records of a results folder, or of several merged.

    A cell that several folders have counts once: of its records one that is final goes before one
    that is to be tried again, and equal ones are the same. Rows of different suites that have the
    same name are told apart by the name of their suite.

    Args:
        results: folders that ``run`` wrote, on any machine.

    Raises:
        RecordError: if a folder is no results folder; if two final records of a cell disagree,
            as a report must not choose between them; or if two cells would be one row, as their
            methods or data are of different versions.

    """
    given = [results] if isinstance(results, str | Path) else list(results)
    if not given:
        raise RecordError("results: received no folder; accepted are one or more that a run wrote")
    folders = [ResultsFolder(path) for path in given]
    plans = [folder.read_plan() for folder in folders]
    found: defaultdict[str, list[tuple[ResultsFolder, Record]]] = defaultdict(list)
    refused: dict[str, str] = {}
    others = 0
    for folder, plan in zip(folders, plans, strict=True):
        planned = {cell.key for cell in plan.cells}
        for key in folder.list_keys():
            if key not in planned:
                others += 1
                continue
            try:
                record = folder.read_record(key)
                found[key].append((folder, record))
            except RecordError as error:
                refused[key] = str(error)
    conflicts = [text for key, copies in found.items() if (text := _conflict(key, copies))]
    if conflicts:
        raise RecordError(_explain(conflicts))
    kept = {key: min(copies, key=lambda copy: _rank(copy[1])) for key, copies in found.items()}
    return Collected(
        plan=plans[0] if len(plans) == 1 else _merge(plans),
        records={key: record for key, (_, record) in kept.items()},
        refused={key: why for key, why in refused.items() if key not in kept},
        homes={key: home for key, (home, _) in kept.items()},
        others=others,
    )


def _rank(record: Record) -> tuple[bool, bool]:
    return not record.is_final, record.status == "failed"


def _conflict(key: str, copies: list[tuple[ResultsFolder, Record]]) -> str:
    """Return in words how final records of a cell disagree, empty if they do not."""
    final = [(home, record) for home, record in copies if record.is_final]
    if len({_outcome(record) for _, record in final}) < 2:
        return ""
    return f"{key}: " + ", ".join(
        f"{_summary(record)} in {home.record_path(key)}" for home, record in final
    )


def _outcome(record: Record) -> str:
    """Return all that two runs of a cell have in common."""
    tree = TypeAdapter(Record).dump_python(record, mode="json")
    parts = ("status", "reason", "metrics", "curves", "attacks", "flags")
    return json.dumps([tree[part] for part in parts], sort_keys=True)


def _summary(record: Record) -> str:
    values: dict[str, Any] = {m.metric: m.value for m in record.metrics if not m.attack}
    accuracy = f" with accuracy {values['accuracy']:.6g}" if "accuracy" in values else ""
    return f"{record.status}{accuracy}"


def _explain(conflicts: list[str]) -> str:
    more = f" (and {len(conflicts) - _SHOWN} more)" if len(conflicts) > _SHOWN else ""
    return (
        f"{len(conflicts)} cell(s) have records that disagree, and a report must not choose: "
        f"{'; '.join(conflicts[:_SHOWN])}{more}. Leave one of the folders out, or move the records "
        "that should not count out of it; different repetitions can be merged from anywhere"
    )


def _merge(plans: list[Plan]) -> Plan:
    """Return one plan of the cells of all, in their order."""
    cells: dict[str, PlannedCell] = {}
    suites: dict[str, str] = {}
    for plan in plans:
        for planned in plan.cells:
            cells.setdefault(planned.key, planned)
            suites.setdefault(planned.key, plan.suite)
    titles = list(dict.fromkeys(plan.title for plan in plans))
    names = list(dict.fromkeys(plan.suite for plan in plans))
    apart = _tell_apart(list(cells.values()), suites)
    return Plan(SCHEMA, " + ".join(names), " + ".join(titles), apart)


def _tell_apart(cells: list[PlannedCell], suites: dict[str, str]) -> list[PlannedCell]:
    """Return cells with the name of their suite in that of rows which two suites have."""
    rows = [_row(planned, names) for planned, names in zip(cells, name_cells(cells), strict=True)]
    counts = Counter(
        (row, planned.cell.repetition) for row, planned in zip(rows, cells, strict=True)
    )
    shared = {row for (row, _), count in counts.items() if count > 1}
    named = [
        replace(planned, label=f"{row[2]} (suite {suites[planned.key]})")
        if row in shared
        else planned
        for row, planned in zip(rows, cells, strict=True)
    ]
    again: dict[Any, str] = {}
    for planned, names in zip(named, name_cells(named), strict=True):
        place = _row(planned, names), planned.cell.repetition
        if place in again:
            raise RecordError(
                f"cells {again[place]} and {planned.key} would be one row, {names['method']} on "
                f"{names['task']}: their methods or data are of different versions; report on the "
                "folders apart, or run the suite again in the older one"
            )
        again[place] = planned.key
    return named


def _row(planned: PlannedCell, names: dict[str, str]) -> tuple[str, str, str, str]:
    return names["task"], names["backbone"], names["method"], planned.cell.training
