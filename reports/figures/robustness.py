"""Accuracy in the worst case over all attacks against ε, one row a task, one column a training.

Needs: any suite with a table `[robustness]` and finished cells, such as `lapbench run robustness`.
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
from lapbench.reports.results import Results
from lapbench.reports.robustness import WORST

NORMS = {"linf": "ℓ∞", "l2": "ℓ₂"}
CAPTION = (
    "Line: mean over repetitions of the accuracy on samples that are right under every attack. "
    "Bar: its 95 % interval by Student's t. Methods at an ε are drawn side by side. ε = 0: not "
    "attacked. Dotted: ε of the headline. Scale: linear up to the first ε, then logarithmic."
)


def draw(results: Results) -> Figure | None:
    """Return the grid of panels, or None if no worst case was measured."""
    attacked = after_last_step(results.records)
    worst = attacked[attacked["attack"] == WORST]
    if worst.empty:
        return None
    styles = method_styles(results, worst["method"])
    rows = list(worst[["task", "backbone"]].drop_duplicates().itertuples(index=False, name=None))
    columns = list(worst["training"].unique())
    size = (
        3.9 * len(columns) + legend_width(styles),
        max(0.6 + 3.2 * len(rows), 1 + 0.22 * len(styles)),
    )
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for axes, (task, backbone) in zip(grid, rows, strict=True):
        own = attacked[(attacked["task"] == task) & (attacked["backbone"] == backbone)]
        for ax, training in zip(axes, columns, strict=True):
            _draw_panel(ax, own[own["training"] == training], styles)
            ax.set_title(f"{training} training", loc="left", fontsize=9)
        axes[0].set_title(f"{task}, {backbone}\n{columns[0]} training", loc="left", fontsize=9)
        axes[0].set_ylabel("worst-case accuracy [%]")
    add_legend(figure, styles)
    add_caption(figure, CAPTION)
    return figure


def _draw_panel(ax: Axes, attacked: pd.DataFrame, styles: Styles) -> None:
    rows = accuracies(attacked, WORST)
    if rows.empty:
        ax.set_axis_off()
        return
    draw_accuracy(ax, rows, styles)
    log_levels(ax, rows["level"])
    headline = attacked.loc[attacked["metric"] == "joint_accuracy", "level"].iloc[0]
    ax.axvline(headline, color="black", linestyle=":", linewidth=0.8, zorder=1)
    (norm,) = rows.loc[rows["level"] > 0, "norm"].unique()
    ax.set_xlabel(f"ε ({NORMS[norm]})")
