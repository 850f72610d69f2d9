"""Accuracy under noise and faults, and distances to fool (label-smoothness paper, figures 4 to 6).

Needs: any suite with attacks of chance or at a signal-to-noise ratio, such as `gaussian-noise`,
`fgsm-snr`, `neuron-dropout`, `weight-quantization`, or with `deepfool`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.figures._attacked import after_last_step, describe_level
from lapbench.reports.results import Results, panels
from lapbench.reports.robustness import ACCURACY, CLEAN

DISTANCE = "fooling_distance"
PARAMETERS = ("snr", "share", "bits")
COLUMNS = 3
CAPTION = (
    "Point: a repetition. Box: quartiles and median over repetitions; whiskers: to the farthest "
    "within 1.5 times its width. Each panel has its own scale.\nDistances: means over the samples "
    "that became wrong. Beside them: the share of samples that stayed right."
)


def draw(results: Results) -> Figure | None:
    """Return a grid of panels a task, backbone and training, or None without such numbers."""
    groups = [
        (title, shown)
        for title, rows in panels(after_last_step(results.records))
        if len(shown := list(_panels(rows))) > 1
    ]
    if not groups:
        return None
    colors = {
        method: color
        for method, color in results.colors().items()
        if any((rows["method"] == method).any() for _, shown in groups for _, rows in shown)
    }
    lines = [-(-len(shown) // COLUMNS) for _, shown in groups]
    heights = [0.4 + count * (0.9 + 0.26 * len(colors)) for count in lines]
    width = 2.9 * COLUMNS + 0.075 * max(map(len, colors))
    figure = Figure(figsize=(width, 0.4 + sum(heights)), layout="constrained")
    blocks = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for block, count, (title, shown) in zip(blocks, lines, groups, strict=True):
        grid = block.subplots(count, COLUMNS, squeeze=False, sharey=True)
        for ax, (name, rows) in zip(grid.flat, shown, strict=False):
            _draw_panel(ax, rows, colors)
            ax.set_title(name, loc="left", fontsize=9)
        for ax in grid.flat[len(shown) :]:
            ax.set_axis_off()
        block.suptitle(title, fontsize=10, weight="bold")
    figure.supxlabel(CAPTION, fontsize=7)
    return figure


def _panels(attacked: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield title and numbers without attack, under each perturbation, and of each distance."""
    yield "not attacked", attacked[(attacked["attack"] == CLEAN) & (attacked["metric"] == ACCURACY)]
    for (attack, parameter, level), rows in attacked.groupby(
        ["attack", "parameter", "level"], sort=False
    ):
        if parameter in PARAMETERS:
            about = describe_level(parameter, level)
            yield f"{attack}\n{about}", rows[rows["metric"] == ACCURACY]
        elif not parameter and (rows["metric"] == DISTANCE).any():
            yield str(attack), rows[rows["metric"].isin([ACCURACY, DISTANCE])]


def _draw_panel(ax: Axes, rows: pd.DataFrame, colors: dict[str, Any]) -> None:
    """Draw a row a method, from the first down."""
    is_distance = (rows["metric"] == DISTANCE).any()
    for place, (method, color) in enumerate(colors.items()):
        own = rows[rows["method"] == method]
        accuracy = 100 * own.loc[own["metric"] == ACCURACY, "value"].to_numpy(dtype=float)
        distance = own.loc[own["metric"] == DISTANCE, "value"].to_numpy(dtype=float)
        _draw_box(ax, distance if is_distance else accuracy, place, color)
        if is_distance and len(accuracy):
            text = f"{accuracy.mean():.0f} %"
            ax.text(1.02, place, text, transform=ax.get_yaxis_transform(), fontsize=7, va="center")
    ax.set_yticks(range(len(colors)), list(colors))
    ax.set_ylim(len(colors) - 0.5, -0.5)
    ax.set_xlabel(r"mean $\|x' - x\|_2$" if is_distance else "accuracy [%]", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.margins(x=0.08)
    ax.grid(axis="x", alpha=0.3)
    seaborn.despine(ax=ax)


def _draw_box(ax: Axes, values: np.ndarray[Any, Any], place: int, color: Any) -> None:
    if not len(values):
        return
    line = {"color": color, "linewidth": 1.2}
    ax.boxplot(
        [values],
        positions=[place],
        orientation="horizontal",
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": (*color, 0.25), "edgecolor": color},
        medianprops={**line, "linewidth": 2},
        whiskerprops=line,
        capprops=line,
        manage_ticks=False,
    )
    ax.scatter(values, [place] * len(values), color=color, s=10, alpha=0.7, linewidths=0, zorder=3)
