"""Accuracy under noise and faults, and distances to fool (label-smoothness paper, figures 4 to 6).

Needs: any suite with attacks of chance or at a signal-to-noise ratio (`gaussian-noise`, `fgsm-snr`,
`neuron-dropout`, `weight-quantization`) or with `deepfool`, such as `lapbench run perturbations`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from lapbench.reports.figures.base.layout import grid, heading, sheet
from lapbench.reports.figures.base.under_attack import after_last_step, describe_level
from lapbench.reports.results import Results, finite, panels
from lapbench.reports.robustness import ACCURACY, CLEAN
from lapbench.reports.style import PAGE, SMALL, shown

DISTANCE = "fooling_distance"
PARAMETERS = ("snr", "share", "bits")
COLUMNS = 3
CAPTION = (
    "Point: a repetition. Box: quartiles and median over repetitions; whiskers: to the farthest "
    "within 1.5 times its width. Each panel has its own scale. Distances: means over the samples "
    "that became wrong. Beside them: the share of samples that stayed right."
)


def draw(results: Results) -> Figure | None:
    """Grid of panels a task, backbone and training, or None without such numbers."""
    attacked = finite(after_last_step(results.records))
    groups = [
        (title, named) for title, rows in panels(attacked) if len(named := list(_panels(rows))) > 1
    ]
    if not groups:
        return None
    colors = {
        method: color
        for method, color in results.colors().items()
        if any((rows["method"] == method).any() for _, named in groups for _, rows in named)
    }
    lines = [-(-len(named) // COLUMNS) for _, named in groups]
    heights = [0.25 + count * (0.75 + 0.16 * len(colors)) for count in lines]
    figure = sheet(sum(heights), COLUMNS, caption=CAPTION)
    blocks = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for block, (title, named) in zip(blocks, groups, strict=True):
        axes = grid(block, len(named), COLUMNS, sharey=True)
        for ax, (name, rows) in zip(axes, named, strict=True):
            _draw_panel(ax, rows, colors)
            ax.set_title(name, loc="left")
        block.suptitle(heading(title, PAGE))
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


def _draw_panel(ax: Axes, rows: pd.DataFrame, colors: dict[str, str]) -> None:
    is_distance = (rows["metric"] == DISTANCE).any()
    for place, (method, color) in enumerate(colors.items()):
        own = rows[rows["method"] == method]
        accuracy = 100 * own.loc[own["metric"] == ACCURACY, "value"].to_numpy(dtype=float)
        distance = own.loc[own["metric"] == DISTANCE, "value"].to_numpy(dtype=float)
        _draw_box(ax, distance if is_distance else accuracy, place, color)
        if is_distance and len(accuracy):
            text = f"{accuracy.mean():.0f} %"
            style: dict[str, Any] = {"fontsize": SMALL, "va": "center"}
            ax.text(1.02, place, text, transform=ax.get_yaxis_transform(), **style)
    ax.set_yticks(range(len(colors)), [shown(method, 20) for method in colors])
    ax.set_ylim(len(colors) - 0.5, -0.5)
    ax.set_xlabel(r"mean $\|x' - x\|_2$" if is_distance else "accuracy [%]")
    ax.margins(x=0.08)
    ax.grid(axis="x")


def _draw_box(ax: Axes, values: np.ndarray[Any, Any], place: int, color: str) -> None:
    if not len(values):
        return
    line = {"color": color, "linewidth": 0.8}
    ax.boxplot(
        [values],
        positions=[place],
        orientation="horizontal",
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": to_rgba(color, 0.25), "edgecolor": color},
        medianprops={**line, "linewidth": 1.6},
        whiskerprops=line,
        capprops=line,
        manage_ticks=False,
    )
    ax.scatter(values, [place] * len(values), color=color, s=8, alpha=0.7, linewidths=0, zorder=3)
