"""What became of the cells and data of a run: what failed, is missing, or is not the same."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lapbench.reports.tracking.regression import BETTER, CHANGED, ROW, UNDECIDED, WORSE, as_table

CELLS, DATA = "cells", "data"
_SHOWN = 100
_LOSS = {"ok": 0, "skipped": 1, "diverged": 1, "failed": 2, "refused": 2, "not run": 2}
_UNATTACKED = {"attack": "", "norm": "", "parameter": "", "level": 0.0}


def compare_cells(baseline: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Return a line for every row of the baseline whose cells did not end as they did there.

    It is worse where a repetition ended worse (failed and refused are worse than diverged and
    skipped, which are worse than ok; not run is as failed, as nothing was checked then), or the row
    is missing; changed where a repetition is not planned any more; not enough samples where that of
    the baseline did not run or cannot be read; else better. The numbers are those of
    repetitions that are ok. Columns are those of
    :func:`lapbench.reports.tracking.regression.compare_numbers`.

    Args:
        baseline: one row a cell: ``task, backbone, training, method, repetition``, and ``status,
            reason`` as in ``lapbench.load_records``.
        results: the same of the other run, with the same names of rows.

    """
    other = dict(list(results.groupby(ROW, sort=False)))
    lines = []
    for names, own in baseline.groupby(ROW, sort=False):
        before = own.set_index("repetition")
        after = other.get(names, own.iloc[:0]).set_index("repetition").reindex(before.index)
        after = after.fillna({"status": "not planned", "reason": "not in the plan of RESULTS"})
        if names not in other and (before["status"] == "ok").any():
            verdict, why = WORSE, "missing: RESULTS has no such row"
        else:
            verdict, why = _verdict(before, after)
        if verdict:
            numbers = {
                "repetitions": len(before),
                "baseline": (before["status"] == "ok").sum(),
                "new": (after["status"] == "ok").sum(),
            }
            row = dict(zip(ROW, names, strict=True))
            lines.append(_cells_line(row, numbers, verdict, why))
    return as_table(lines)


def _cells_line(
    row: dict[str, str], numbers: dict[str, int], verdict: str, why: str
) -> dict[str, Any]:
    change = {"change": numbers["new"] - numbers["baseline"]}
    about = {**row, "metric": CELLS, **_UNATTACKED}
    return {**about, **numbers, **change, "verdict": verdict, "why": why}


def _verdict(before: pd.DataFrame, after: pd.DataFrame) -> tuple[str, str]:
    """Return the verdict on the repetitions of a row and its reason, empty if nothing changed."""
    loss = after["status"].map(_LOSS) - before["status"].map(_LOSS)
    unplanned = (before["status"] == "ok") & (after["status"] == "not planned")
    unknown = before["status"].isin(["refused", "not run"]) & (after["status"] == "ok")
    if (loss > 0).any():
        return WORSE, _describe(after[loss > 0])
    if unplanned.any():
        return CHANGED, _describe(after[unplanned])
    if unknown.any():
        return UNDECIDED, f"in the baseline {_describe(before[unknown])}"
    if (loss < 0).any():
        return BETTER, f"in the baseline {_describe(before[loss < 0])}"
    return "", ""


def _describe(cells: pd.DataFrame) -> str:
    """Return how the first of some repetitions ended, and how many others there are."""
    first = cells.iloc[0]
    text = f"repetition {cells.index[0]} {first['status']} ({str(first['reason'])[:_SHOWN]})"
    return text + (f", and {len(cells) - 1} more" if len(cells) > 1 else "")


def data_lines(changed: Mapping[str, str]) -> pd.DataFrame:
    """Return a line for every task whose data changed, in the same columns.

    Args:
        changed: why, by task.

    """
    empty = dict.fromkeys(ROW, "") | {"metric": DATA, **_UNATTACKED, "repetitions": 0}
    lines = [
        {**empty, "task": task, "verdict": CHANGED, "why": why} for task, why in changed.items()
    ]
    return as_table(lines)
