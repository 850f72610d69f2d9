"""Verdicts on the cells and the data of two runs."""

from collections.abc import Mapping

import pandas as pd

from lapbench.reports.tracking.regression import BETTER, CHANGED, ROW, UNDECIDED, WORSE, as_table

CELLS, DATA = "cells", "data"
_SHOWN = 100
_LOSS = {"ok": 0, "skipped": 1, "diverged": 1, "failed": 2, "refused": 2, "not run": 2}
_UNATTACKED = {"attack": "", "norm": "", "parameter": "", "level": 0.0}


def compare_cells(baseline: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """One line for every row of the baseline whose cells ended otherwise in the results.

    * Worse: a repetition ended worse, or the row is missing. Failed, refused and not run are worse
      than diverged and skipped, and these are worse than ok.
    * Changed: a repetition that was ok is not planned any more.
    * Not enough samples: one that is ok did not run in the baseline, or cannot be read there.
    * Better: a repetition ended better.

    The numbers count repetitions that are ok. Columns are those of ``compare_numbers``.

    Args:
        baseline: one row a cell: ``task, backbone, training, method, repetition, status, reason``.
        results: that of the other run, with the same names of rows.

    """
    names = [*ROW, "repetition"]
    both = baseline[[*names, "status", "reason"]].merge(
        results[[*names, "status", "reason"]], "left", names, suffixes=("", "_new")
    )
    both = both.fillna({"status_new": "not planned", "reason_new": "not in the plan of RESULTS"})
    known = set(results[ROW].itertuples(index=False, name=None))
    lines = []
    for row, cells in both.groupby(ROW, sort=False):
        verdict, why = _verdict(cells)
        was_ok, is_ok = ((cells[name] == "ok").sum() for name in ("status", "status_new"))
        if row not in known and was_ok:
            verdict, why = WORSE, "missing: RESULTS has no such row"
        if verdict:
            numbers = {"baseline": was_ok, "new": is_ok, "change": is_ok - was_ok}
            about = {**dict(zip(ROW, row, strict=True)), "metric": CELLS, **_UNATTACKED}
            about |= {"repetitions": len(cells), "verdict": verdict, "why": why}
            lines.append({**about, **numbers})
    return as_table(lines)


def _verdict(cells: pd.DataFrame) -> tuple[str, str]:
    """Verdict on the repetitions of a row and its reason, empty if nothing changed."""
    was, now = cells["status"], cells["status_new"]
    loss = now.map(_LOSS) - was.map(_LOSS)
    cases = [
        (WORSE, "_new", loss > 0),
        (CHANGED, "_new", (was == "ok") & (now == "not planned")),
        (UNDECIDED, "", was.isin(["refused", "not run"]) & (now == "ok")),
        (BETTER, "", loss < 0),
    ]
    for verdict, side, which in cases:
        if which.any():
            first, more = cells[which].iloc[0], which.sum() - 1
            reason = str(first[f"reason{side}"])[:_SHOWN]
            why = f"repetition {first['repetition']} {first[f'status{side}']} ({reason})"
            where = "" if side else "in the baseline "
            return verdict, f"{where}{why}" + (f", and {more} more" if more else "")
    return "", ""


def data_lines(changed: Mapping[str, str]) -> pd.DataFrame:
    """One line for every task whose data changed, with the reason, in the same columns."""
    empty = dict.fromkeys(ROW, "") | {"metric": DATA, **_UNATTACKED, "repetitions": 0}
    return as_table(
        [{**empty, "task": task, "verdict": CHANGED, "why": why} for task, why in changed.items()]
    )
