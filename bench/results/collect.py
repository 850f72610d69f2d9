"""Plan and records of one results folder, or of several as if they were one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lapbench.results.folder import RecordError, ResultsFolder
from lapbench.results.merge import first_difference, merge, outcome
from lapbench.results.records import Record
from lapbench.results.tidy import tidy
from lapbench.suite.plan import Plan

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Collected:
    """Plan and records from which a report is made.

    Attributes:
        plan: all planned cells, of all folders.
        records: by key, those of planned cells.
        refused: by key, why the record of a planned cell cannot be read.
        homes: by key, the folder that a record is from.
        others: how many records belong to no plan.
        folders: suite, path and number of repetitions of each plan.

    """

    plan: Plan
    records: dict[str, Record] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    homes: dict[str, ResultsFolder] = field(default_factory=dict)
    others: int = 0
    folders: list[tuple[str, Path, int]] = field(default_factory=list)


def load_records(results: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """All numbers of a results folder, or of several merged, one row for each number.

    Columns: ``task, backbone, method, training, gradient, repetition, key, status, reason, metric,
    split, value, count``, and ``attack, norm, parameter, level, steps`` of numbers under an attack,
    empty and 0 elsewhere. A planned cell without numbers has one row with a missing ``metric``: it
    failed, diverged, was skipped, has not run yet, or its record cannot be read. A name is followed
    by those of its parameters that differ within the plan. The time of a stage is the metric
    ``"stage: …"`` in seconds, the median over the repeats; its count are the training samples;
    ``"stage_ratio: …"`` is the median of its ratios to a pass of softmax. The seconds of an attack
    are the metric ``attack_seconds``. ``saved_megabytes`` is what a step saves for its backward
    pass, in 10⁶ bytes; ``saved_ratio`` is that over softmax.

    Raises:
        RecordError: if a folder has no plan, or folders contradict each other; see :func:`collect`.

    """
    collected = collect(results)
    return tidy(collected.plan, collected.records, collected.refused)


def collect(results: str | Path | Sequence[str | Path]) -> Collected:
    """Plan and records of a results folder, or of several merged.

    A cell that is in several folders counts once; final records take precedence over failed ones.
    Rows of different suites with the same name get the name of their suite.

    Args:
        results: folders that ``run`` wrote, on any machine.

    Raises:
        RecordError: if a folder is not a results folder, if two final records of a cell disagree,
            or if cells with different settings would share a row.

    """
    given = [results] if isinstance(results, str | Path) else list(results)
    if not given:
        raise RecordError(
            "results: received no folder; must be one or more folders that `lapbench run` wrote"
        )
    folders = [ResultsFolder(path) for path in given]
    plans = [folder.read_plan() for folder in folders]
    copies_of: defaultdict[str, list[tuple[ResultsFolder, Record]]] = defaultdict(list)
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
                copies_of[key].append((folder, record))
            except RecordError as error:
                refused[key] = str(error)
    conflicts = [text for copies in copies_of.values() if (text := _conflict(copies))]
    if conflicts:
        raise RecordError(_explain(conflicts))
    kept = {key: min(copies, key=lambda copy: _rank(copy[1])) for key, copies in copies_of.items()}
    return Collected(
        plan=plans[0] if len(plans) == 1 else merge(plans),
        records={key: record for key, (_, record) in kept.items()},
        refused={key: why for key, why in refused.items() if key not in kept},
        homes={key: home for key, (home, _) in kept.items()},
        others=others,
        folders=[
            (plan.suite, folder.path, 1 + max(cell.cell.repetition for cell in plan.cells))
            for folder, plan in zip(folders, plans, strict=True)
        ],
    )


def _rank(record: Record) -> tuple[bool, bool]:
    return not record.is_final, record.status == "failed"


def _conflict(copies: list[tuple[ResultsFolder, Record]]) -> str:
    """First difference between final records of a cell, in words; empty if there is none."""
    final = [(home, record) for home, record in copies if record.is_final]
    for home, record in final[1:]:
        first, reference = final[0]
        if difference := first_difference(outcome(reference), outcome(record)):
            return (
                f"{first.record_path(record.key)} and {home.record_path(record.key)}: {difference}"
            )
    return ""


def _explain(conflicts: list[str]) -> str:
    more = f" (and {len(conflicts) - _SHOWN} more)" if len(conflicts) > _SHOWN else ""
    return (
        f"{len(conflicts)} cell(s) have records that disagree: {'; '.join(conflicts[:_SHOWN])}"
        f"{more}. Leave out one of the folders, or move the records that must not count out of it"
    )
