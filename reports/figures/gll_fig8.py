"""Accuracy under CW against the mean squared distance, one point a c (GLL paper, figure 8).

Needs: any suite with an attack under the label `cw-gll`.
"""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.figures._attacked import (
    Styles,
    add_caption,
    add_legend,
    after_last_step,
    legend_width,
    method_styles,
)
from lapbench.reports.results import Results, panels
from lapbench.reports.robustness import ACCURACY

ATTACK, DISTANCE = "cw-gll", "squared_distance"
SIZES = (12.0, 60.0)


def draw(results: Results) -> Figure | None:
    """Return one panel a task, backbone and training, or None without the attack."""
    attacked = after_last_step(results.records)
    rows = attacked[(attacked["attack"] == ATTACK) & attacked["metric"].isin([ACCURACY, DISTANCE])]
    if rows.empty:
        return None
    styles = method_styles(results, rows["method"])
    constants = sorted(rows["level"].unique())
    sizes = dict(zip(constants, np.linspace(*SIZES, len(constants)), strict=True))
    shown = list(panels(rows))
    columns = min(len(shown), 2)
    lines = -(-len(shown) // columns)
    width = 4.2 * columns + legend_width(styles)
    height = max(0.5 + 3.3 * lines, 1 + 0.22 * len(styles))
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for ax, (title, group) in zip(grid.flat, shown, strict=False):
        _draw_panel(ax, group, styles, sizes)
        ax.set_title(title, loc="left", fontsize=9)
    for ax in grid.flat[len(shown) :]:
        ax.set_axis_off()
    add_legend(figure, styles)
    listed = ", ".join(f"{constant:g}" for constant in constants)
    add_caption(
        figure,
        f"Point: means over repetitions at a c; the larger the marker, the larger c = {listed}. "
        "Distances are of all samples, in units of the input.",
    )
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame, styles: Styles, sizes: dict[float, float]) -> None:
    for method, style in styles.items():
        own = rows[rows["method"] == method]
        if own.empty:
            continue
        means = own.pivot_table("value", "level", "metric")
        ax.plot(means[DISTANCE], 100 * means[ACCURACY], color=style["color"], linewidth=1.2)
        ax.scatter(
            means[DISTANCE], 100 * means[ACCURACY], s=[sizes[c] for c in means.index], **style
        )
    ax.set_ylim(-4, 104)
    ax.set(xlabel=r"mean squared distance  $\|x' - x\|_2^2$", ylabel="accuracy [%]")
    ax.grid(alpha=0.3)
    seaborn.despine(ax=ax)
