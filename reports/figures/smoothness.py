"""Smoothness of label signals by depth, one panel a power m (label-smoothness paper, figure 3).

Needs: any suite with `smoothness_powers = [1, 2]`, or other powers, under `[evaluation]`.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lapbench.reports.results import Results, panels

PREFIX = "smoothness_"
MARKERS = "os^Dv<>P"
CAPTION = (
    "Line: mean over batches and repetitions. Band: lowest to highest repetition. "
    "Lower: the classes are better separated."
)

Curves = dict[str, dict[int, np.ndarray[Any, Any]]]


def draw(results: Results) -> Figure | None:
    """Return one row of panels a task, backbone and training; None if nothing was stored."""
    rows = list(_rows(results))
    if not rows:
        return None
    powers = sorted({power for _, curves in rows for found in curves.values() for power in found})
    methods = {method for _, curves in rows for method in curves}
    longest = max(map(len, methods))
    width = max(3.1 * len(powers), 5.6) + 0.7 + 0.085 * longest
    height = max(0.4 + 3.0 * len(rows), 0.6 + 0.22 * len(methods))
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(rows), len(powers), squeeze=False)
    lines: dict[str, Any] = {}
    for axes, (title, curves) in zip(grid, rows, strict=True):
        for ax, power in zip(axes, powers, strict=True):
            lines |= _draw_panel(ax, curves, power, results)
        axes[0].set_title(f"{title}\n{axes[0].get_title('left')}", loc="left", fontsize=10)
        axes[0].set_ylabel(r"label smoothness  $\mathrm{tr}\,S^\mathsf{T}L^m S$")
    for ax in grid[-1]:
        ax.set_xlabel("depth [ReLU number]")
    found = [method for method in results.colors() if method in lines]
    figure.legend(
        [lines[method] for method in found],
        found,
        loc="outside right center",
        frameon=False,
    )
    figure.supxlabel(CAPTION, fontsize=7)
    return figure


def mean_over_batches(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the means (layers,) of (batches, layers)."""
    return np.asarray(array.mean(axis=0, dtype=float))


def _rows(results: Results) -> Iterator[tuple[str, Curves]]:
    """Yield title and curves: of each method and power, an array (repetitions, layers)."""
    cells = results.records.drop_duplicates("key")
    for title, group in panels(cells):
        curves = {
            str(method): found
            for method, rows in group.groupby("method")
            if (found := _by_power(results, rows))
        }
        if curves:
            yield title, curves


def _by_power(results: Results, cells: pd.DataFrame) -> dict[int, np.ndarray[Any, Any]]:
    found = defaultdict(list)
    for key in cells["key"]:
        for name, array in results.arrays(str(key)).items():
            if name.startswith(PREFIX):
                found[int(name.removeprefix(PREFIX))].append(mean_over_batches(array))
    return {power: np.stack(rows) for power, rows in found.items()}


def _draw_panel(ax: Axes, curves: Curves, power: int, results: Results) -> dict[str, Any]:
    lines = {}
    for number, (method, color) in enumerate(results.colors().items()):
        if power not in curves.get(method, {}):
            continue
        rows = curves[method][power]
        depth = np.arange(1, rows.shape[1] + 1)
        ax.fill_between(depth, rows.min(0), rows.max(0), color=color, alpha=0.2, linewidth=0)
        marker = MARKERS[number % len(MARKERS)]
        (lines[method],) = ax.plot(depth, rows.mean(0), color=color, marker=marker, markersize=4)
    if np.isfinite(ax.dataLim.minposy):
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(f"$m$ = {power}", loc="left", fontsize=10)
    ax.grid(alpha=0.3)
    seaborn.despine(ax=ax)
    return lines
