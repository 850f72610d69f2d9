"""The figure of a number over past runs: panels by task, a line for every method."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, LogLocator, NullLocator

from lapbench.reports.colors import Styles
from lapbench.reports.figures.base.layout import LINE, entry, grid, heading, sheet
from lapbench.reports.style import LETTERS_AN_INCH, SMALL, shown
from lapbench.reports.tracking.history import (
    PANEL,
    QUANTITIES,
    Quantity,
    describe_change,
    short_commit,
)

LOWEST = 1e-16
"""Numbers are not drawn lower on logarithmic axes: it is the rounding of float64."""
_SHARES = (
    "Line: mean over repetitions. Bar: its 95 % interval by Student's t. Repetitions have the same "
    "seeds in all runs, so that differences between runs are surer than the bars."
)
_OTHERS = "Line: median over repetitions. Bar: from the lowest to the highest."
_MARKS = (
    "Methods of a run are drawn side by side. Hollow: repetitions have no result. Cross: some "
    "failed. Gap: no number."
)
_CHANGES = (
    "Vertical: numbers before and after may not be comparable, as the processor (P), torch (T) or "
    "the data and their split (D) changed"
)
_MANY = 12
"""Runs that half a page has room for."""
_NAMED = 3
"""Changes that a caption names."""
_HEIGHT = 1.7
_AXES = 0.7
"""Inches beside a panel for its numbers and name."""


def draw(
    found: pd.DataFrame, changed: pd.DataFrame, runs: pd.DataFrame, styles: Styles
) -> Figure | None:
    """Return the panels of one metric, or None if no run has it.

    Args:
        found: of :func:`lapbench.reports.tracking.history.points`.
        changed: of :func:`lapbench.reports.tracking.history.changes`.
        runs: columns ``run, commit, started``, in order.
        styles: colour and marker of every method.

    """
    if found.empty:
        return None
    quantity = QUANTITIES[found["metric"].iloc[0]]
    panels = list(found.groupby(PANEL, sort=False))
    columns = 1 if len(runs) > _MANY else min(len(panels), 2)
    own = {name: style for name, style in styles.items() if name in set(found["method"])}
    concerned = changed[changed["task"].isin(["", *found["task"]])]
    figure = sheet(
        _HEIGHT * -(-len(panels) // columns) + 4 * LINE,
        2 if len(runs) > _MANY else columns,
        [entry(method, **style) for method, style in own.items()],
        _caption(quantity, concerned, runs),
    )
    inches = figure.get_figwidth() / columns
    axes = grid(figure, len(panels), columns)
    for ax, (names, rows) in zip(axes, panels, strict=True):
        _draw_panel(ax, rows, list(runs["run"]), quantity, own)
        task, backbone, training, part = map(str, names)
        title = f"{task}, {backbone}, {training} training{', ' if part else ''}{part}"
        changes = concerned[concerned["task"].isin(["", task])]
        _draw_changes(ax, changes, list(runs["run"]))
        pad = 4 if changes.empty else 4 + 1.3 * SMALL
        ax.set_title(heading(title, inches - _AXES), loc="left", pad=pad)
        ax.set_xticks(range(len(runs)), [])
    for ax in axes[::columns]:
        ax.set_ylabel(quantity.label)
    lowest = (len(axes) - columns) // columns * columns  # With those beside that end a column.
    for ax in axes[lowest:]:
        _label_runs(ax, runs, inches - _AXES)
    return figure


def _caption(quantity: Quantity, changed: pd.DataFrame, runs: pd.DataFrame) -> str:
    commits = dict(zip(runs["run"], runs["commit"].map(short_commit), strict=True))
    texts = [
        f"{shown(commits[change.run])} ({shown(describe_change(change), 96)})"
        for change in changed.itertuples()
    ]
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    named = f" {_CHANGES}: {', '.join(texts[:_NAMED])}{more}." if texts else ""
    return f"{_SHARES if quantity.share else _OTHERS} {_MARKS}{named}"


def _draw_panel(
    ax: Axes, rows: pd.DataFrame, runs: Sequence[str], quantity: Quantity, styles: Styles
) -> None:
    apart = min(0.08, 0.6 / len(styles))
    for number, (method, style) in enumerate(styles.items()):
        own = rows[rows["method"] == method].set_index("run").reindex(runs)
        x = np.arange(len(runs)) + apart * (number - (len(styles) - 1) / 2)
        values = own[["low", "value", "high"]].to_numpy(float)
        values = 100 * values if quantity.share else values
        if quantity.logarithmic:
            values = np.maximum(values, LOWEST)
        low, value, high = values.T
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
    if quantity.logarithmic:
        _set_log(ax, rows)
    ax.margins(y=0.12)
    ax.set_xlim(-0.6, len(runs) - 0.4)
    ax.grid(axis="y")


def _set_log(ax: Axes, rows: pd.DataFrame) -> None:
    """Make the axis of numbers logarithmic, with numbers that a reader can tell apart."""
    known = rows[["low", "value", "high"]].to_numpy(float)
    known = np.maximum(known[np.isfinite(known)], LOWEST)
    ratio = known.max() / known.min() if len(known) else 1.0
    ax.set_yscale("log")
    if ratio < 5:
        ax.yaxis.set_major_locator(AutoLocator())
    elif ratio < 500:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def _draw_changes(ax: Axes, changed: pd.DataFrame, runs: Sequence[str]) -> None:
    """Draw a line before each run that something changed at, with its initial letters above it."""
    for run, own in changed.groupby("run", sort=False):
        place = runs.index(str(run)) - 0.5
        ax.axvline(place, color="black", linewidth=0.6, zorder=1)
        ax.annotate(
            "".join(what[0].upper() for what in own["what"].unique()),
            (place, 1),
            (0, 1),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
        )


def _label_runs(ax: Axes, runs: pd.DataFrame, inches: float) -> None:
    """Write commits below the axis, with their dates where all fit, and always the last one."""
    commits = [shown(short_commit(commit)) for commit in runs["commit"]]
    dates = [shown(started[:10]) for started in runs["started"]]
    both = [f"{commit}\n{date}" for commit, date in zip(commits, dates, strict=True)]
    letters = LETTERS_AN_INCH * inches / len(runs)
    lines = inches / len(runs) / LINE
    every = max(1, int(np.ceil(1 / lines)))
    places = list(range(len(runs) - 1, -1, -every))
    labels = both if lines >= 2 else commits
    upright = 0 if max(map(len, [*commits, *dates])) < letters else 90
    ax.set_xticks(places, [labels[place] for place in places], rotation=upright)
    ax.set_xticks(range(len(runs)), minor=True)
    ax.set_xlabel("commit")
