"""Accuracy of every method on every task, one point a seed, with means and 95 % intervals.

Needs: any suite with a finished cell, such as `lapbench run default`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure

from lapbench.reports.about import highest_first
from lapbench.reports.figures.base.layout import grid, heading, sheet
from lapbench.reports.results import Results, finite, panels
from lapbench.reports.statistics.tests import interval
from lapbench.reports.style import shown

CAPTION = "Point: a repetition. Diamond: their mean. Bar: its 95 % interval by Student's t."
PUBLISHED = "Hollow: published, not measured here; it belongs to the row above it."
NAMES = 0.9
"""Width of the names of the methods in inches."""


def draw(results: Results) -> Figure | None:
    """Figure, or None if no cell is finished."""
    accuracies = _accuracies(results)
    if accuracies.empty:
        return None
    titled = list(panels(accuracies))
    columns = min(len(titled), 2)
    methods = [rows["method"].nunique() for _, rows in titled]
    heights = [
        0.45 + 0.16 * max(methods[first : first + columns])
        for first in range(0, len(titled), columns)
    ]
    papers = _published(results, accuracies)
    caption = CAPTION if papers.empty else f"{CAPTION} {PUBLISHED}"
    figure = sheet(sum(heights) + 0.2, columns, caption=caption)
    axes = grid(figure, len(titled), columns, height_ratios=heights)
    colors = results.colors()
    for ax, (title, rows) in zip(axes, titled, strict=True):
        own = papers.merge(rows[["task", "backbone", "training"]].drop_duplicates())
        _draw_task(ax, rows, own, colors)
        ax.set_title(heading(title, figure.get_figwidth() / columns - NAMES), loc="left")
    for ax in axes[-columns:]:
        ax.set_xlabel(f"{accuracies['split'].iloc[0]} accuracy [%]")
    return figure


def describe(results: Results) -> str:
    """Mean accuracies of the first panels in words, highest first."""
    return f"Mean accuracy, highest first. {highest_first(list(panels(_accuracies(results))))}"


def _accuracies(results: Results) -> pd.DataFrame:
    records = results.records
    return finite(records[(records["metric"] == "accuracy") & (records["attack"] == "")])


def _published(results: Results, accuracies: pd.DataFrame) -> pd.DataFrame:
    papers = results.published
    plain = papers[(papers["metric"] == "accuracy") & (papers["attack"] == "")]
    rows = accuracies[["task", "backbone", "method", "training"]].drop_duplicates()
    return plain.merge(rows)


def _draw_task(ax: Axes, rows: pd.DataFrame, papers: pd.DataFrame, colors: dict[str, str]) -> None:
    """Draw a row a method, the best mean first; what was published stands below its row."""
    percent = {method: 100 * own.to_numpy(float) for method, own in rows.groupby("method")["value"]}
    order = sorted(percent, key=lambda method: -percent[method].mean())
    places = {method: place for place, method in enumerate(order)}
    seeds = np.repeat(list(places.values()), [len(percent[method]) for method in order])
    hues = to_rgba_array([colors[method] for method in order])
    ax.scatter(
        np.concatenate([percent[method] for method in order]),
        seeds,
        c=hues[seeds],
        s=10,
        alpha=0.5,
        linewidths=0,
    )
    intervals = [interval(list(percent[method])) for method in order]
    means = [each.mean for each in intervals]
    low, high = ([getattr(each, end) for each in intervals] for end in ("low", "high"))
    ax.hlines(range(len(order)), low, high, colors=[colors[method] for method in order])
    ax.scatter(means, range(len(order)), c=hues, s=14, marker="D", linewidths=0, zorder=3)
    ax.scatter(
        100 * papers["published"].astype(float),
        [places[method] + 0.32 for method in papers["method"]],
        s=14,
        facecolors="none",
        edgecolors=[colors[method] for method in papers["method"]] or "none",
        linewidths=0.8,
    )
    ax.set_yticks(range(len(order)), [shown(method, 22) for method in order])
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.grid(axis="x")
