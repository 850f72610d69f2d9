"""Images, what attacks add to them, and what comes of it (GLL paper, figure 9).

Needs: any suite with images and attacks under the labels `fgsm`, `ifgsm` or `cw-gll`; the worst
case over all attacks is shown beside them.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.figures._attacked import describe_level
from lapbench.reports.figures._images import Array, Attacked, attacked_images
from lapbench.reports.results import Results
from lapbench.reports.robustness import ACCURACY, WORST

ATTACKS = ("fgsm", "ifgsm", "cw-gll", WORST)
CAPTION = (
    "Image, what the attack added (red: brighter, blue: darker, in colour images as deviation from "
    "grey; scaled to its maximum), and the sum, with the classes predicted before and after.\nThe "
    "first of {count} images that was right and became wrong. Natural training, repetition 0."
)
GAP = 0.2


def draw(results: Results) -> Figure | None:
    """Return a row a method and three columns an attack, or None without attacked images."""
    models = list(attacked_images(results))
    attacks = [attack for attack in ATTACKS if any(model.has(attack) for model in models)]
    if not set(attacks) - {WORST}:
        return None
    ratios = [1, 1, 1, GAP] * len(attacks)
    figure = Figure(
        figsize=(1.05 * sum(ratios) + 1.6, 1.3 * len(models) + 0.7), layout="constrained"
    )
    grid = figure.subplots(len(models), len(ratios), squeeze=False, width_ratios=ratios)
    for axes, model in zip(grid, models, strict=True):
        for ax in axes:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for number, attack in enumerate(attacks):
            _draw_attack(axes[4 * number : 4 * number + 3], model, attack)
        axes[0].set_ylabel(model.title, rotation=0, ha="right", va="center", fontsize=8)
    for number, attack in enumerate(attacks):
        grid[0, 4 * number].set_title(
            f"{_describe(models, attack)}\n", loc="left", fontsize=9, weight="bold"
        )
    count = len(models[0].labels)
    figure.supxlabel(CAPTION.format(count=count), fontsize=7)
    return figure


def _describe(models: Sequence[Attacked], attack: str) -> str:
    """Return an attack with the level that its images are of: the largest, or the headline's."""
    records = next(model.records for model in models if model.has(attack))
    metric = "joint_accuracy" if attack == WORST else ACCURACY
    own = records[(records["attack"] == attack) & (records["metric"] == metric)]
    return f"{attack}, {describe_level(own['parameter'].iloc[0], own['level'].max())}"


def _draw_attack(axes: Sequence[Axes], model: Attacked, attack: str) -> None:
    """Draw image, difference and sum in three panels, or say why there are none."""
    fooled = model.fooled(attack) if model.has(attack) else None
    if fooled is None or not fooled.any():
        text = "not run" if fooled is None else "none\nbecame wrong"
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": "grey"}
        axes[1].text(0.5, 0.5, text, transform=axes[1].transAxes, **style)
        return
    number = int(fooled.argmax())
    clean, attacked = model.images()[number], model.images(attack)[number]
    model.show(axes[0], clean)
    _show_difference(axes[1], attacked - clean)
    model.show(axes[2], attacked)
    before, after = model.predicted()[number], model.predicted(attack)[number]
    axes[2].set_title(f"{before} → {after}", fontsize=9)


def _show_difference(ax: Axes, difference: Array) -> None:
    """Draw by how much values changed, on a scale that ends at the largest change."""
    largest = float(abs(difference).max())
    if len(difference) == 1:
        ax.imshow(difference[0], cmap="RdBu_r", vmin=-largest, vmax=largest)
    else:
        ax.imshow((difference / largest / 2 + 0.5).transpose(1, 2, 0))
    ax.set_title(f"max {largest:.2g}", fontsize=8)
