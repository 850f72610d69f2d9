"""Accuracy of every method on every task, one point a seed, with means and 95 % intervals.

Needs: any suite with a finished cell.
"""

import math

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.results import Results, panels
from lapbench.reports.statistics import interval


def draw(results: Results) -> Figure | None:
    """Return the figure, or None if no cell is finished."""
    accuracies = results.records[results.records["metric"] == "accuracy"]
    if accuracies.empty:
        return None
    shown = list(panels(accuracies))
    rows = accuracies["method"].nunique()
    widest = accuracies["method"].str.len().max()
    size = (5.6 + 0.1 * widest, 0.9 + len(shown) * (0.5 + 0.45 * rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(shown), squeeze=False)[:, 0]
    for ax, (title, cells) in zip(axes, shown, strict=True):
        _draw_task(ax, cells, results)
        ax.set_title(title, loc="left")
    axes[-1].set_xlabel(f"{accuracies['split'].iloc[0]} accuracy [%]")
    return figure


def _draw_task(ax: Axes, accuracies: pd.DataFrame, results: Results) -> None:
    percent = accuracies.assign(value=100 * accuracies["value"])
    means = percent.groupby("method")["value"].mean().sort_values(ascending=False)
    seaborn.stripplot(
        percent,
        x="value",
        y="method",
        order=means.index,
        hue="method",
        palette=results.colors(),
        alpha=0.5,
        jitter=False,
        legend=False,
        ax=ax,
    )
    for row, method in enumerate(means.index):
        found = interval(list(percent.loc[percent["method"] == method, "value"]))
        half = 0.0 if math.isnan(found.high) else found.high - found.mean
        ax.errorbar(
            found.mean, row, xerr=half, fmt="D", color=results.colors()[method], capsize=4, zorder=3
        )
    ax.set(xlabel="", ylabel="", ylim=(len(means) - 0.5, -0.5))
    ax.grid(axis="x", alpha=0.3)
    seaborn.despine(ax=ax)
