"""Numbers over past runs of a suite: of every row in every run, and what changed between runs.

A frame of past runs has the columns of ``lapbench.load_records`` and, of the run that a row is
from, those of :data:`RUN`; runs follow one another in the order of time. The hash ``data`` of a
cell's data and split is empty where it is not known.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lapbench.reports.figures.base.under_attack import after_last_step, describe_level
from lapbench.reports.figures.robustness import NORMS
from lapbench.reports.results import finite
from lapbench.reports.robustness import ACCURACY, CLEAN, WORST
from lapbench.reports.statistics.tests import interval

RUN = ["run", "commit", "started", "processor", "torch", "lapbench", "data"]
ROW = ["task", "backbone", "method", "training"]
PANEL = ["task", "backbone", "training", "part"]
POINT = [*RUN[:3], *PANEL, "method", "metric", "statistic", "value", "low", "high", "repetitions"]
CELLS = ["cells_ok", "cells_failed", "cells_planned"]
CHANGE = ["run", "task", "what", "before", "after"]
_FAILED = ("failed", "diverged", "refused")
_STRONGER_BELOW = ("snr", "bits")
_STAGE = "stage_ratio: "
_MEAN, _MEDIAN = "mean, 95 % interval", "median, lowest to highest"


@dataclass(frozen=True)
class Quantity:
    """A number that is followed over runs.

    Attributes:
        label: of its axis.
        share: whether it is a share, drawn in per cent; it has the mean over repetitions with its
            95 % interval, and others the median with the lowest and the highest, as a busy machine
            makes single repetitions slow.
        logarithmic: whether equal factors are equal distances.

    """

    label: str
    share: bool = False
    logarithmic: bool = False


QUANTITIES = {
    "accuracy": Quantity("accuracy [%]", share=True),
    ACCURACY: Quantity("robust accuracy [%]", share=True),
    "step_ratio": Quantity("step / softmax", logarithmic=True),
    "stage_ratio": Quantity("stage / softmax", logarithmic=True),
    "step_megabytes": Quantity("memory of a step [MB]"),
    "gradient_error": Quantity("error of the gradient", logarithmic=True),
    "solve_iterations": Quantity("iterations of a solve"),
}
"""Numbers that mean the same on every machine; seconds do not, and are not among them."""


def points(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one row for every run and line of a figure; empty if no run has the metric.

    Columns: :data:`POINT`, where ``part`` is the attack or the stage, and of the row's cells
    :data:`CELLS`. Where a run has no number of a line that others have, ``value`` is NaN; where it
    does not plan the line's cells, there is no row. Of attacks it is the worst case at the ε of the
    headline, and where a run has none, each attack at its strongest.

    Args:
        records: of past runs.
        metric: one of :data:`QUANTITIES`.

    """
    rows = _with_part(records, metric)
    if rows.empty:
        return pd.DataFrame(columns=[*POINT, *CELLS])
    lines = rows[[*PANEL, "method"]]
    if metric == "accuracy":  # A method that failed in every run has a line too.
        failed = records.loc[records["status"].isin(_FAILED), ROW].assign(part="")
        lines = pd.concat([lines, failed])
    expected = _cells(records).merge(lines.drop_duplicates(), on=ROW, sort=False)
    keys = ["run", *PANEL, "method"]
    share = QUANTITIES[metric].share
    found = [
        {**dict(zip(keys, names, strict=True)), **_summary(group, share)}
        for names, group in rows.groupby(keys, sort=False)["value"]
    ]
    table = expected.merge(pd.DataFrame(found), on=keys, how="left", sort=False)
    about = {"metric": metric, "statistic": _MEAN if share else _MEDIAN}
    table = table.assign(**about, repetitions=table["repetitions"].fillna(0).astype(int))
    return table[[*POINT, *CELLS]]


def changes(records: pd.DataFrame) -> pd.DataFrame:
    """Return where processor, torch or data are not those of the run before.

    Columns: :data:`CHANGE`; ``task`` is empty where the change concerns all. Data are compared for
    each row and repetition, with the last run that knows them.

    Args:
        records: of past runs.

    """
    runs = records.drop_duplicates("run")
    found = [
        {"run": run, "task": "", "what": what, "before": before, "after": after}
        for what in ("processor", "torch")
        for run, before, after in _turns(runs["run"], runs[what])
    ]
    cells = records.drop_duplicates(["run", "key"])
    found += [
        {"run": run, "task": names[0], "what": "data", "before": before, "after": after}
        for names, own in cells.groupby([*ROW, "repetition"], sort=False)
        for run, before, after in _turns(own["run"], own["data"])
    ]
    table = pd.DataFrame(found, columns=CHANGE).drop_duplicates(["run", "task", "what"])
    order = {run: place for place, run in enumerate(runs["run"])}
    return table.sort_values("run", key=lambda names: names.map(order), kind="stable")


def describe_change(change: Any) -> str:
    """Return in words what changed.

    Args:
        change: a row of :func:`changes`.

    """
    about = f"data of {change.task}" if change.task else change.what
    return f"{about}: {change.before} → {change.after}"


def short_commit(commit: str) -> str:
    """Return a commit by its first 7 letters, with "+" where the tree had changes."""
    return commit[:7] + ("+" if commit.endswith("+") else "")


def _with_part(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the finite numbers of a metric, with the part of it that a panel shows."""
    if metric == ACCURACY:
        return finite(_under_attack(records))
    plain = records[records["attack"] == ""]
    names = plain["metric"].astype(str)
    if metric == "stage_ratio":
        parts = plain.assign(part=names.str.removeprefix(_STAGE))
        return finite(parts[names.str.startswith(_STAGE)])
    return finite(plain[names == metric]).assign(part="")


def _under_attack(records: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies in the worst case, or under each attack where there is none."""
    attacked = after_last_step(records)
    headline = attacked.loc[attacked["metric"] == "joint_accuracy", ["run", "key", "level"]]
    found = attacked[(attacked["metric"] == ACCURACY) & (attacked["attack"] != CLEAN)]
    worst = found[found["attack"] == WORST].merge(headline.drop_duplicates())
    table = ["run", "task", "backbone", "training"]
    has_worst = pd.MultiIndex.from_frame(worst[table])
    single = found[~pd.MultiIndex.from_frame(found[table]).isin(has_worst)]
    strength = single["level"].where(~single["parameter"].isin(_STRONGER_BELOW), -single["level"])
    strongest = strength.groupby([single[c] for c in [*table, "attack"]]).transform("max")
    rows = pd.concat([worst, single[strength == strongest]])
    return rows.assign(part=[_attack(row) for row in rows.itertuples()])


def _attack(row: Any) -> str:
    level = describe_level(row.parameter, row.level)
    norm = f" ({NORMS[row.norm]})" if row.norm else ""
    return f"{row.attack}{', ' if level else ''}{level}{norm}"


def _cells(records: pd.DataFrame) -> pd.DataFrame:
    """Return for each run and row how many cells were planned, are finished, and failed."""
    cells = records.drop_duplicates(["run", "key"])
    counted = cells.assign(
        cells_ok=cells["status"] == "ok",
        cells_failed=cells["status"].isin(_FAILED),
        cells_planned=1,
    )
    return counted.groupby([*RUN[:3], *ROW], sort=False)[CELLS].sum().reset_index()


def _summary(values: pd.Series, share: bool) -> dict[str, Any]:
    """Return what a line shows of a run's repetitions."""
    known = values.astype(float)
    if share:
        found = interval(list(known))
        low, middle, high = found.low, found.mean, found.high
    else:
        low, middle, high = known.min(), known.median(), known.max()
    return {"value": middle, "low": low, "high": high, "repetitions": len(known)}


def _turns(runs: Iterable[Any], values: Iterable[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the runs where a value is not the last that was known, and both values."""
    last = ""
    for run, value in zip(runs, values, strict=True):
        if value and last and value != last:
            yield run, last, value
        last = value or last
