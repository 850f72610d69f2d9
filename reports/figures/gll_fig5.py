"""Accuracy under FGSM and IFGSM against ε, and under CW against c (GLL paper, figures 5 to 7).

Needs: any suite with attacks under the labels `fgsm`, `ifgsm` or `cw-gll`.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.figures._attacked import (
    Styles,
    accuracies,
    add_caption,
    add_legend,
    after_last_step,
    draw_accuracy,
    legend_width,
    log_levels,
    method_styles,
)
from lapbench.reports.results import Results, panels

TITLES = {"fgsm": "FGSM", "ifgsm": "IFGSM", "cw-gll": "CW"}
CAPTION = (
    "Line: mean over repetitions, after the last step. Bar: its 95 % interval by Student's t. "
    "Methods at a level are drawn side by side. ε = 0 and c = 0: not attacked. Scale of c: linear "
    "up to the first c, then logarithmic."
)


def draw(results: Results) -> Figure | None:
    """Return one row of panels a task, backbone and training, or None without these attacks."""
    attacked = after_last_step(results.records)
    under = attacked[attacked["attack"].isin(list(TITLES))]
    if under.empty:
        return None
    attacks = [attack for attack in TITLES if (under["attack"] == attack).any()]
    rows = [
        (title, group) for title, group in panels(attacked) if group["attack"].isin(attacks).any()
    ]
    styles = method_styles(results, under["method"])
    width = 3.2 * len(attacks) + legend_width(styles)
    height = max(0.6 + 2.9 * len(rows), 1 + 0.22 * len(styles))
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(rows), len(attacks), squeeze=False)
    for axes, (title, group) in zip(grid, rows, strict=True):
        for ax, attack in zip(axes, attacks, strict=True):
            _draw_panel(ax, accuracies(group, attack), styles)
            ax.set_title(TITLES[attack], loc="left", fontsize=9)
        axes[0].set_title(f"{title}\n{TITLES[attacks[0]]}", loc="left", fontsize=9)
        axes[0].set_ylabel("accuracy [%]")
    add_legend(figure, styles)
    add_caption(figure, CAPTION)
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame, styles: Styles) -> None:
    if rows.empty:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", color="grey")
        return
    draw_accuracy(ax, rows, styles)
    if (rows["parameter"] == "c").any():
        log_levels(ax, rows["level"])
        ax.set_xlabel("c")
    else:
        largest = rows["level"].max()
        ax.set_xlim(-0.06 * largest, 1.06 * largest)
        ax.set_xlabel("ε")
