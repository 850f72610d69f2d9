"""Accuracy in the worst case over all attacks against ε, one panel a task and training.

Needs: any suite with a table `[robustness]` and finished cells, such as `lapbench run robustness`.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.about import highest_first
from lapbench.reports.colors import Styles
from lapbench.reports.figures.base.layout import grid, heading, sheet
from lapbench.reports.figures.base.under_attack import (
    accuracies,
    after_last_step,
    draw_accuracy,
    log_levels,
    method_entries,
    method_styles,
)
from lapbench.reports.results import Results, finite, panels
from lapbench.reports.robustness import ACCURACY, WORST

NORMS = {"linf": "ℓ∞", "l2": "ℓ₂"}
CAPTION = (
    "Line: mean over repetitions of the accuracy on samples that are right under every attack. "
    "Bar: its 95 % interval by Student's t. Methods at an ε are drawn side by side. ε = 0: not "
    "attacked. Dotted: ε of the headline. Scale: linear up to the first ε, then logarithmic."
)


def draw(results: Results) -> Figure | None:
    """Grid of panels, or None if no worst case was measured."""
    attacked = after_last_step(results.records)
    worst = _worst(attacked)
    if worst.empty:
        return None
    styles = method_styles(results, worst["method"])
    rows = list(worst[["task", "backbone"]].drop_duplicates().itertuples(index=False, name=None))
    trainings = list(worst["training"].unique())
    shown = [(*row, training) for row in rows for training in trainings]
    columns = len(trainings) if len(trainings) > 1 else min(len(rows), 2)
    height = 2.3 * -(-len(shown) // columns)
    figure = sheet(height, columns, method_entries(styles), CAPTION)
    axes = grid(figure, len(shown), columns)
    for ax, names in zip(axes, shown, strict=True):
        own = (attacked[["task", "backbone", "training"]] == list(names)).all(axis=1)
        _draw_panel(ax, attacked[own], styles)
        title = f"{', '.join(names)} training"
        ax.set_title(heading(title, figure.get_figwidth() / columns), loc="left")
    for ax in axes[::columns]:
        ax.set_ylabel("worst-case accuracy [%]")
    return figure


def describe(results: Results) -> str:
    """Mean accuracies in the worst case of the first panels in words, highest first."""
    attacked = after_last_step(results.records)
    headlines = attacked[attacked["metric"] == "joint_accuracy"]
    worst = _worst(attacked).merge(headlines[["key", "level"]].drop_duplicates())
    titled = [
        (f"{title}, at ε = {', '.join(f'{level:g}' for level in rows['level'].unique())}", rows)
        for title, rows in panels(worst)
    ]
    return f"Accuracy in the worst case, highest first. {highest_first(titled)}"


def _worst(attacked: pd.DataFrame) -> pd.DataFrame:
    return finite(attacked[(attacked["attack"] == WORST) & (attacked["metric"] == ACCURACY)])


def _draw_panel(ax: Axes, attacked: pd.DataFrame, styles: Styles) -> None:
    rows = accuracies(attacked, WORST)
    if rows.empty:
        ax.set_axis_off()
        return
    draw_accuracy(ax, rows, styles)
    log_levels(ax, rows["level"])
    for headline in attacked.loc[attacked["metric"] == "joint_accuracy", "level"].unique():
        ax.axvline(headline, color="black", linestyle=":", linewidth=0.8, zorder=1)
    norms = rows.loc[rows["level"] > 0, "norm"].unique()
    ax.set_xlabel(f"ε ({', '.join(NORMS[norm] for norm in norms)})")
