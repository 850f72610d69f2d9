"""The leaderboards of the page: one for each task, with all that is known of a row."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lapbench.reports.leaderboard import readable
from lapbench.reports.page.tables import Entries, Entry, Table, make_table
from lapbench.reports.report import Report
from lapbench.reports.robustness import ACCURACY, ROW, percent
from lapbench.reports.statistics.tests import is_marked

Names = tuple[str, ...]
"""Task, backbone, method, training."""

_ACCURACY, _VERDICT = "accuracy [%]", "against the best"
_NOISE = "gaussian-noise"
_ORDER = (
    "method",
    "backbone",
    "training",
    _ACCURACY,
    _VERDICT,
    "published",
    "worst case",
    "noise",
    "failed checks",
    "step / softmax",
    "saved",
    "cells",
)
"""How the names of the first columns begin."""


@dataclass(frozen=True)
class Statuses:
    """The distinct statuses of the cells of a row, and in words why some have no result."""

    distinct: str
    unfinished: str


def leaderboards(report: Report, cells: Mapping[Names, Statuses]) -> Iterator[Table]:
    """Yield the leaderboard of each task, backbone and training: methods compare within these.

    Args:
        report: its board, with what attacks and papers say.
        cells: of each row of the board.

    """
    board, headline, robustness = report.board, report.headline, report.robustness
    if board.empty:
        return
    for (task, *_), part in board.groupby(["task", "backbone", "training"], sort=False):
        worst = _worst(headline[headline["task"] == task], report.flags) if len(headline) else {}
        noise = _noise(robustness[robustness["task"] == task])
        bars = _bars(part)
        rows, statuses = [], []
        for row in readable(part, report.published).to_dict("records"):
            names = tuple(str(row[name]) for name in ROW)
            entries = {name: Entry(str(text)) for name, text in row.items()}
            entries |= worst.get(names, _dashes(worst)) | noise.get(names, _dashes(noise))
            marked = "best" if is_marked(row[_VERDICT]) else ""
            entries[_ACCURACY] = Entry(row[_ACCURACY], kind=marked, bar=bars.get(names))
            entries["cells"] = Entry(row["cells"], cells[names].unfinished)
            rows.append({name: entries[name] for name in sorted(entries, key=_rank)})
            statuses.append(cells[names].distinct)
        yield make_table("", rows, statuses)


def _rank(column: str) -> int:
    places = (place for place, start in enumerate(_ORDER) if column.startswith(start))
    return next(places, len(_ORDER))


def _dashes(others: Mapping[Names, Entries]) -> dict[str, Entry]:
    return {name: Entry("–") for row in others.values() for name in row}


def _worst(headline: pd.DataFrame, flags: pd.DataFrame) -> dict[Names, dict[str, Entry]]:
    failed = flags[flags["verdict"] == "fail"].groupby(ROW)["name"].nunique()
    radii = headline["ε"].unique()
    column = f"worst case, ε\u00a0=\u00a0{radii[0]} [%]" if len(radii) == 1 else "worst case [%]"
    worst = {}
    for row in headline.to_dict("records"):
        names = tuple(row[name] for name in ROW)
        radius = f", ε = {row['ε']}" if len(radii) > 1 else ""
        count = failed.get(names, 0)
        worst[names] = {
            column: Entry(row["worst case [%]"], f"unattacked {row['unattacked [%]']}{radius}"),
            "failed checks": (
                Entry(f"{count} failed", kind="fail") if count else Entry(row["failed checks"])
            ),
        }
    return worst


def _noise(robustness: pd.DataFrame) -> dict[Names, dict[str, Entry]]:
    rows = robustness[
        (robustness["attack"] == _NOISE)
        & (robustness["parameter"] == "snr")
        & (robustness["metric"] == ACCURACY)
    ]
    strongest = rows[rows["level"] == rows["level"].min()]
    return {
        _names(row): {f"noise, {row.level:g}\u00a0dB\u00a0SNR [%]": Entry(percent(row))}
        for row in strongest.itertuples()
    }


def _bars(board: pd.DataFrame) -> dict[Names, tuple[float, ...]]:
    """Low end, mean and high end of each accuracy, in per cent of the span of all."""
    rows = board[(board["metric"] == "accuracy") & board["mean"].map(math.isfinite)]
    lows, highs = (rows[end].fillna(rows["mean"]).clip(0, 1) for end in ("ci_low", "ci_high"))
    start, end = lows.min(), highs.max()
    if not end > start:
        return {}
    return {
        _names(row): tuple(
            round(100 * (value - start) / (end - start), 1) for value in (low, row.mean, high)
        )
        for row, low, high in zip(rows.itertuples(), lows, highs, strict=True)
    }


def _names(row: Any) -> Names:
    return tuple(getattr(row, name) for name in ROW)
