"""The figure of a number over past runs: panels by task, a line for every method."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, LogLocator, NullLocator

from lapbench.reports.colors import Styles
from lapbench.reports.figures.base.layout import LINE, entry, grid, heading, sheet
from lapbench.reports.style import SMALL, shown
from lapbench.reports.tracking.history import PANEL, is_share, short_commit

LOWEST = 1e-16
"""Lowest value on a logarithmic axis: the rounding of float64."""
_SHARES = "Mean over repetitions, with its 95 % interval by Student's t."
_OTHERS = "Median over repetitions, with the lowest and the highest."
_MARKS = (
    "Methods of a run are drawn side by side. Hollow: repetitions have no result. Cross: some "
    "failed. Gap: no number. Vertical line: processor (P), torch (T) or data (D) changed, "
    "so that numbers before and after may not be comparable."
)
_MANY = 12
"""Runs that half a page has room for."""
_HEIGHT = 1.7
_AXES = 0.7
"""Inches beside a panel for its numbers and name."""


def draw(rows: pd.DataFrame, changed: pd.DataFrame, runs: pd.DataFrame, styles: Styles) -> Figure:
    """Panels of one metric.

    Args:
        rows: of :func:`lapbench.reports.tracking.history.points`.
        changed: of :func:`lapbench.reports.tracking.history.changes`.
        runs: columns ``run, commit``, in order.
        styles: color and marker of every method.

    """
    metric = str(rows["metric"].iloc[0])
    panels = list(rows.groupby(PANEL, sort=False))
    columns = 1 if len(runs) > _MANY else min(len(panels), 2)
    methods = set(rows["method"])
    own = {name: style for name, style in styles.items() if name in methods}
    figure = sheet(
        _HEIGHT * -(-len(panels) // columns) + 4 * LINE,
        2 if len(runs) > _MANY else columns,
        [entry(method, **style) for method, style in own.items()],
        f"{_SHARES if is_share(metric) else _OTHERS} {_MARKS}",
    )
    inches = figure.get_figwidth() / columns - _AXES
    for ax, (names, panel) in zip(grid(figure, len(panels), columns), panels, strict=True):
        task, backbone, training, part = map(str, names)
        _draw_panel(ax, panel, list(runs["run"]), is_share(metric), own)
        _draw_changes(ax, changed[changed["task"].isin(["", task])], list(runs["run"]))
        title = f"{task}, {backbone}, {training} training{', ' if part else ''}{part}"
        ax.set_title(heading(title, inches), loc="left", pad=4 + 1.3 * SMALL)
        ax.set_ylabel(metric.replace("_", " ") + " [%]" * is_share(metric))
        every = int(np.ceil(len(runs) * LINE / inches))
        places = range(len(runs) - 1, -1, -every)
        commits = [shown(short_commit(runs["commit"].iloc[place])) for place in places]
        ax.set_xticks(list(places), commits, rotation=90)
    return figure


def _draw_panel(
    ax: Axes, rows: pd.DataFrame, runs: Sequence[str], share: bool, styles: Styles
) -> None:
    apart = min(0.08, 0.6 / len(styles))
    for number, (method, style) in enumerate(styles.items()):
        own = rows[rows["method"] == method].set_index("run").reindex(runs)
        x = np.arange(len(runs)) + apart * (number - (len(styles) - 1) / 2)
        values = own[["low", "value", "high"]].to_numpy(float) * (100 if share else 1)
        low, value, high = (values if share else np.maximum(values, LOWEST)).T
        bars = np.nan_to_num([value - low, high - value])
        line = {**style, "elinewidth": 0.8, "linewidth": 1, "markersize": 3}
        _, _, (lines,) = ax.errorbar(x, value, yerr=bars, **line)
        lines.set_alpha(0.5)
        partial = (own["cells_ok"] < own["cells_planned"]).to_numpy()
        hollow = {**style, "markerfacecolor": "white", "markersize": 5, "zorder": 3}
        ax.plot(x[partial], value[partial], linestyle="", markeredgewidth=0.7, **hollow)
        failed = x[(own["cells_failed"] > 0).to_numpy()]
        bottom = ax.get_xaxis_transform()
        ax.plot(failed, np.full(len(failed), 0.05), "x", color=style["color"], transform=bottom)
    if not share:
        _set_log(ax, np.maximum(rows[["low", "value", "high"]].to_numpy(float), LOWEST))
    ax.margins(y=0.12)
    ax.set_xlim(-0.6, len(runs) - 0.4)
    ax.grid(axis="y")


def _set_log(ax: Axes, values: np.ndarray[Any, Any]) -> None:
    """Make the axis of numbers logarithmic, with ticks that can be told apart."""
    ratio = np.nanmax(values) / np.nanmin(values)
    ax.set_yscale("log")
    if ratio < 500:
        ax.yaxis.set_major_locator(AutoLocator() if ratio < 5 else LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def _draw_changes(ax: Axes, changed: pd.DataFrame, runs: Sequence[str]) -> None:
    """Draw a line before each run that something changed at, with its initial letters above it."""
    for run, own in changed.groupby("run", sort=False):
        place = runs.index(str(run)) - 0.5
        ax.axvline(place, color="black", linewidth=0.6, zorder=1)
        letters = "".join(what[0].upper() for what in own["what"].unique())
        top = ax.get_xaxis_transform()
        ax.text(place, 1.01, letters, ha="center", fontsize=SMALL, transform=top)
