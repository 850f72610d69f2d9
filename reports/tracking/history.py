"""Numbers over past runs of a suite, and what changed between runs.

A frame of past runs has the columns of ``lapbench.load_records`` and :data:`RUN`. Runs follow one
another in the order of time. ``data``, a hash of a cell's data and split, is empty where unknown.
"""

from typing import Any

import pandas as pd

from lapbench.reports.results import finite
from lapbench.reports.robustness import WORST
from lapbench.reports.statistics.tests import interval
from lapbench.reports.tracking.kinds import KINDS, stage_name
from lapbench.reports.tracking.regression import ROW, compared
from lapbench.reports.tracking.text import describe_attack

RUN = ["run", "commit", "started", "processor", "torch", "data"]
PANEL = ["task", "backbone", "training", "part"]
LINE = [*PANEL, "method"]
CELLS = ["cells_ok", "cells_failed", "cells_planned"]
POINT = [*RUN[:3], *LINE, "metric", "statistic", "value", "low", "high", "repetitions"]
_FAILED = ("failed", "diverged", "refused")


def is_share(metric: str) -> bool:
    """Whether a metric is a share: mean and 95 % interval are shown, else median and range."""
    return KINDS[metric].better > 0


def points(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Points of all lines of a figure, one row for each line and run that plans its cells.

    Columns: :data:`POINT`, where ``part`` is the stage, or the attack with its level, and
    :data:`CELLS` of the row. ``value`` is NaN where the run has no number. Where there is a worst
    case over attacks, single attacks are left out.

    Args:
        records: of past runs.
        metric: one of ``KINDS``.

    """
    rows = finite(compared(records, [metric], "run"))
    if (rows["attack"] == WORST).any():
        rows = rows[rows["attack"] == WORST]
    if rows.empty:
        return pd.DataFrame(columns=[*POINT, *CELLS])
    parts = [describe_attack(row) or stage_name(row.metric) for row in rows.itertuples()]
    rows = rows.assign(part=parts)
    lines = rows[LINE]
    if metric == "accuracy":  # A method that failed in every run has a line too.
        failed = records.loc[records["status"].isin(_FAILED), ROW].assign(part="")
        lines = pd.concat([lines, failed])
    share = is_share(metric)
    summaries = pd.DataFrame(
        [*names, *_summary(values.astype(float), share)]
        for names, values in rows.groupby(["run", *LINE], sort=False)["value"]
    ).set_axis(["run", *LINE, "value", "low", "high", "repetitions"], axis=1)
    table = _cells(records).merge(lines.drop_duplicates(), on=ROW, sort=False)
    table = table.merge(summaries, "left", ["run", *LINE], sort=False)
    statistic = "mean, 95 % interval" if share else "median, lowest to highest"
    table = table.assign(metric=metric, statistic=statistic)
    table["repetitions"] = table["repetitions"].fillna(0).astype(int)
    return table[[*POINT, *CELLS]]


def _summary(values: pd.Series, share: bool) -> tuple[float, float, float, int]:
    if share:
        mean = interval(list(values))
        return mean.mean, mean.low, mean.high, len(values)
    return values.median(), values.min(), values.max(), len(values)


def runs_of(records: pd.DataFrame) -> pd.DataFrame:
    """One row a run: ``run, commit, started`` and ``cells``, such as 9/10, that are ok."""
    counts = _cells(records).groupby(RUN[:3], sort=False)[CELLS].sum().astype(str)
    cells = counts["cells_ok"] + "/" + counts["cells_planned"]
    return cells.rename("cells").reset_index()


def _cells(records: pd.DataFrame) -> pd.DataFrame:
    """Numbers of cells that are ok, failed, and planned, by run and row."""
    cells = records.drop_duplicates(["run", "key"])
    flags = [cells["status"] == "ok", cells["status"].isin(_FAILED), cells["key"] != ""]
    counted = cells.assign(**dict(zip(CELLS, flags, strict=True)))
    return counted.groupby([*RUN[:3], *ROW], sort=False)[CELLS].sum().reset_index()


def changes(records: pd.DataFrame) -> pd.DataFrame:
    """Where processor, torch or data differ from the last run that knows them.

    Columns: ``run, task, what, before, after``; ``task`` is empty where the change concerns all.

    Args:
        records: of past runs.

    """
    cells = records.drop_duplicates(["run", "key"]).reset_index(drop=True)
    parts = []
    for what in ("processor", "torch", "data"):
        own = cells[cells[what] != ""]
        own = own.assign(what=what, after=own[what], task=own["task"] if what == "data" else "")
        keys = [*ROW, "repetition"] if what == "data" else ["task"]
        parts.append(own.assign(before=own.groupby(keys)["after"].shift()))
    every = pd.concat(parts).sort_index(kind="stable")
    changed = every[every["before"].notna() & (every["before"] != every["after"])]
    once = changed.drop_duplicates(["run", "task", "what"])
    return once[["run", "task", "what", "before", "after"]]


def describe_change(change: Any) -> str:
    """Row of :func:`changes` in words."""
    about = f"data of {change.task}" if change.task else change.what
    return f"{about}: {change.before} → {change.after}"


def short_commit(commit: str) -> str:
    """First 7 letters of a commit, with "+" where the tree had changes."""
    return commit[:7] + ("+" if commit.endswith("+") else "")
