"""Images, what attacks add to them, and the predictions (GLL paper, figure 9).

Needs: any suite with images and attacks under the labels `fgsm`, `ifgsm` or `cw-gll`, such as
`lapbench run robustness`; the worst case over all attacks is shown beside them.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.figures.base.images import (
    Array,
    Attacked,
    Place,
    attacked_images,
    frame,
    show,
    write_above,
)
from lapbench.reports.figures.base.layout import sheet
from lapbench.reports.figures.base.under_attack import describe_level
from lapbench.reports.results import Results
from lapbench.reports.robustness import ACCURACY, WORST
from lapbench.reports.style import PAGE, SMALL

ATTACKS = ("fgsm", "ifgsm", "cw-gll", WORST)
CAPTION = (
    "Image, what the attack added (red: brighter, blue: darker, in colour images as deviation from "
    "grey; scaled to its maximum), and the sum, with the classes predicted before and after. The "
    "first of {count} images that was right and became wrong. Natural training, repetition 0."
)
APART, GAP, DOWN, HEAD = 1.1, 0.3, 1.4, 0.8
"""In sides of an image: columns apart, gap of attacks, rows apart, room for the attacks' names."""
NAMES = 1.2
"""Width of the names of the methods in inches."""


def draw(results: Results) -> Figure | None:
    """Row a method and three columns an attack, or None without attacked images."""
    models = list(attacked_images(results))
    attacks = [attack for attack in ATTACKS if any(model.has(attack) for model in models)]
    if not set(attacks) - {WORST}:
        return None
    right, bottom = (3 * APART + GAP) * len(attacks) - GAP, DOWN * len(models) - 0.3
    side = min((PAGE - NAMES) / right, 0.6)
    figure = sheet(side * (bottom + HEAD), caption=CAPTION.format(count=len(models[0].labels)))
    ax = figure.subplots()
    for row, model in enumerate(models):
        for number, attack in enumerate(attacks):
            _draw_attack(ax, model, attack, ((3 * APART + GAP) * number, DOWN * row))
    for number, attack in enumerate(attacks):
        middle = ((3 * APART + GAP) * number + APART, -0.35)
        write_above(ax, _describe(models, attack), middle, weight="bold")
    frame(ax, right, bottom, HEAD)
    ax.set_yticks([DOWN * row + 0.5 for row in range(len(models))], [m.title for m in models])
    return figure


def _describe(models: Sequence[Attacked], attack: str) -> str:
    """Attack with the level that its images are of: the largest, or the headline's."""
    records = next(model.records for model in models if model.has(attack))
    metric = "joint_accuracy" if attack == WORST else ACCURACY
    own = records[(records["attack"] == attack) & (records["metric"] == metric)]
    return f"{attack}, {describe_level(own['parameter'].iloc[0], own['level'].max())}"


def _draw_attack(ax: Axes, model: Attacked, attack: str, place: Place) -> None:
    (x, y), fooled = place, model.fooled(attack) if model.has(attack) else None
    if fooled is None or not fooled.any():
        text = "not run" if fooled is None else "none\nbecame wrong"
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL}
        ax.text(x + APART + 0.5, y + 0.5, text, color="grey", **style)
        return
    number = int(fooled.argmax())
    clean, attacked = model.images()[number], model.images(attack)[number]
    model.show(ax, clean, place)
    _show_difference(ax, attacked - clean, (x + APART, y))
    model.show(ax, attacked, (x + 2 * APART, y))
    before, after = model.predicted()[number], model.predicted(attack)[number]
    write_above(ax, f"{before} → {after}", (x + 2 * APART, y))


def _show_difference(ax: Axes, difference: Array, place: Place) -> None:
    """Draw by how much values changed, on a scale that ends at the largest change."""
    largest = float(abs(difference).max())
    if len(difference) == 1:
        show(ax, difference[0], place, cmap="RdBu_r", vmin=-largest, vmax=largest)
    else:
        show(ax, (difference / (largest or 1) / 2 + 0.5).transpose(1, 2, 0), place)
    write_above(ax, f"max {largest:.2g}", place)
