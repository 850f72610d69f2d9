"""Smoothness of label signals by depth, one panel a power m (label-smoothness paper, figure 3).

Needs: any suite with `smoothness_powers = [1, 2]`, or other powers, under `[evaluation]`, such as
`lapbench run label-smoothness`.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lapbench.reports.colors import Styles
from lapbench.reports.figures.base.layout import heading, sheet
from lapbench.reports.figures.base.under_attack import method_entries, method_styles
from lapbench.reports.results import Results, panels_of_methods

PREFIX = "smoothness_"
COLUMNS = 3
CAPTION = (
    "Line: mean over batches and repetitions. Band: lowest to highest repetition. "
    "Lower: the classes are better separated."
)

Curves = dict[str, dict[int, np.ndarray[Any, Any]]]


def draw(results: Results) -> Figure | None:
    """Rows of panels, one for each power, for each task, backbone and training, or None."""
    rows = list(_rows(results))
    if not rows:
        return None
    powers = sorted({power for _, curves in rows for curve in curves.values() for power in curve})
    columns = min(len(powers), COLUMNS)
    lines = [
        (title, curves, powers[first : first + columns])
        for title, curves in rows
        for first in range(0, len(powers), columns)
    ]
    styles = method_styles(results, (method for _, curves in rows for method in curves))
    figure = sheet(2.2 * len(lines), columns, method_entries(styles), CAPTION)
    grid = figure.subplots(len(lines), columns, squeeze=False)
    for axes, (title, curves, some) in zip(grid, lines, strict=True):
        for ax, power in zip(axes, some, strict=False):
            _draw_panel(ax, curves, power, styles)
        for ax in axes[len(some) :]:
            ax.remove()
        about = heading(title, figure.get_figwidth())
        axes[0].set_title(f"{about}\n{axes[0].get_title('left')}", loc="left")
        axes[0].set_ylabel(r"label smoothness  $\mathrm{tr}\,S^\mathsf{T}L^m S$")
    return figure


def mean_over_batches(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Means (layers,) of (batches, layers), NaN where a batch is not finite."""
    known = np.where(np.isfinite(array), array, np.nan)
    return np.asarray(known.mean(axis=0, dtype=float))


def _rows(results: Results) -> Iterator[tuple[str, Curves]]:
    """Yield title and curves: of each method and power, an array (repetitions, layers)."""
    for title, curves in panels_of_methods(results, partial(_by_power, results)):
        if curves:
            yield title, curves


def _by_power(results: Results, cells: pd.DataFrame) -> dict[int, np.ndarray[Any, Any]]:
    by_power = defaultdict(list)
    for key in cells["key"]:
        for name, array in results.arrays(str(key)).items():
            if name.startswith(PREFIX):
                by_power[int(name.removeprefix(PREFIX))].append(mean_over_batches(array))
    return {power: np.stack(rows) for power, rows in by_power.items()}


def _draw_panel(ax: Axes, curves: Curves, power: int, styles: Styles) -> None:
    for method, style in styles.items():
        if power not in curves.get(method, {}):
            continue
        rows = curves[method][power]
        depth = np.arange(1, rows.shape[1] + 1)
        color = style["color"]
        ax.fill_between(depth, rows.min(0), rows.max(0), color=color, alpha=0.2, linewidth=0)
        ax.plot(depth, rows.mean(0), **style)
    if np.isfinite(ax.dataLim.minposy):
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(f"$m$ = {power}", loc="left")
    ax.set_xlabel("depth [ReLU number]")
    ax.grid()
