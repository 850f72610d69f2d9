"""Accuracy under CW against the mean squared distance, one point a c (GLL paper, figure 8).

Needs: any suite with an attack under the label `cw-gll`, such as `lapbench run robustness`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.colors import Styles
from lapbench.reports.figures.base.layout import grid, heading, sheet
from lapbench.reports.figures.base.under_attack import (
    after_last_step,
    method_entries,
    method_styles,
)
from lapbench.reports.results import Results, finite, panels
from lapbench.reports.robustness import ACCURACY

ATTACK, DISTANCE = "cw-gll", "squared_distance"
SIZES = (8.0, 40.0)


def draw(results: Results) -> Figure | None:
    """One panel a task, backbone and training, or None without the attack."""
    attacked = after_last_step(results.records)
    under = attacked[attacked["attack"] == ATTACK]
    rows = finite(under[under["metric"].isin([ACCURACY, DISTANCE])])
    if rows.empty:
        return None
    styles = method_styles(results, rows["method"])
    constants = sorted(rows["level"].unique())
    sizes = dict(zip(constants, np.linspace(*SIZES, len(constants)), strict=True))
    shown = list(panels(rows))
    columns = min(len(shown), 2)
    listed = ", ".join(f"{constant:g}" for constant in constants)
    caption = (
        f"Point: means over repetitions at a c; the larger the marker, the larger c = {listed}. "
        "Distances are of all samples, in units of the input."
    )
    height = 2.3 * -(-len(shown) // columns)
    figure = sheet(height, columns, method_entries(styles), caption)
    for ax, (title, group) in zip(grid(figure, len(shown), columns), shown, strict=True):
        _draw_panel(ax, group, styles, sizes)
        ax.set_title(heading(title, figure.get_figwidth() / columns), loc="left")
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame, styles: Styles, sizes: dict[float, float]) -> None:
    for method, style in styles.items():
        own = rows[rows["method"] == method]
        if own.empty:
            continue
        means = own.pivot_table("value", "level", "metric").reindex(columns=[ACCURACY, DISTANCE])
        ax.plot(means[DISTANCE], 100 * means[ACCURACY], color=style["color"])
        ax.scatter(
            means[DISTANCE], 100 * means[ACCURACY], s=[sizes[c] for c in means.index], **style
        )
    ax.set_ylim(-4, 104)
    ax.set(xlabel=r"mean squared distance  $\|x' - x\|_2^2$", ylabel="accuracy [%]")
    ax.grid()
