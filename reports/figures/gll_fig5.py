"""Accuracy under FGSM and IFGSM against ε, and under CW against c (GLL paper, figures 5 to 7).

Needs: any suite with attacks under the labels `fgsm`, `ifgsm` or `cw-gll`, such as
`lapbench run robustness`.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.colors import Styles
from lapbench.reports.figures.base.layout import grid, heading, sheet
from lapbench.reports.figures.base.under_attack import (
    accuracies,
    after_last_step,
    draw_accuracy,
    draw_published,
    log_levels,
    method_entries,
    method_styles,
)
from lapbench.reports.results import Results, panels
from lapbench.reports.robustness import ACCURACY

TITLES = {"fgsm": "FGSM", "ifgsm": "IFGSM", "cw-gll": "CW"}
CAPTION = (
    "Line: mean over repetitions, after the last step. Bar: its 95 % interval by Student's t. "
    "Methods at a level are drawn side by side. ε = 0 and c = 0: not attacked. Scale of c: linear "
    "up to the first c, then logarithmic."
)
PUBLISHED = "Hollow: published, not measured here."


def draw(results: Results) -> Figure | None:
    """Panels of each task, backbone and training, or None without these attacks."""
    attacked = after_last_step(results.records)
    attacks = [attack for attack in TITLES if not accuracies(attacked, attack).empty]
    if not attacks:
        return None
    under = attacked[attacked["attack"].isin(attacks)]
    rows = [
        (title, group) for title, group in panels(attacked) if group["attack"].isin(attacks).any()
    ]
    styles = method_styles(results, under["method"])
    papers = _published(results, under)
    caption = CAPTION if papers.empty else f"{CAPTION} {PUBLISHED}"
    columns = len(attacks) if len(attacks) > 1 else min(len(rows), 2)
    shown = [(title, group, attack) for title, group in rows for attack in attacks]
    height = 2.3 * -(-len(shown) // columns)
    figure = sheet(height, columns, method_entries(styles), caption)
    axes = grid(figure, len(shown), columns)
    for ax, (title, group, attack) in zip(axes, shown, strict=True):
        own = papers.merge(group[["task", "backbone", "training"]].drop_duplicates())
        _draw_panel(ax, accuracies(group, attack), own[own["attack"] == attack], styles)
        about = heading(title, figure.get_figwidth() / (columns if len(attacks) == 1 else 1))
        first = f"{about}\n" if attack == attacks[0] else ""
        ax.set_title(f"{first}{TITLES[attack]}", loc="left")
    for ax in axes[::columns]:
        ax.set_ylabel("accuracy [%]")
    return figure


def _published(results: Results, under: pd.DataFrame) -> pd.DataFrame:
    """Accuracies that papers publish under attacks that were run on the same row."""
    papers = results.published[results.published["metric"] == ACCURACY]
    return papers.merge(
        under[["task", "backbone", "method", "training", "attack"]].drop_duplicates()
    )


def _draw_panel(ax: Axes, rows: pd.DataFrame, papers: pd.DataFrame, styles: Styles) -> None:
    if rows.empty:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", color="grey")
        return
    draw_accuracy(ax, rows, styles)
    draw_published(ax, papers, styles)
    levels = pd.concat([rows["level"], papers["level"].astype(float)])
    if (rows["parameter"] == "c").any():
        log_levels(ax, levels)
        ax.set_xlabel("c")
    else:
        ax.set_xlim(-0.1 * levels.max(), 1.1 * levels.max())
        ax.set_xlabel("ε")
