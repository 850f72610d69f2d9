"""Images in the worst case and their nearest training images (WNLL paper, figure 10).

Needs: any suite with images and a table `[robustness]`.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure, SubFigure

from lapbench.reports.figures._images import Array, Attacked, attacked_images
from lapbench.reports.results import Results
from lapbench.reports.robustness import WORST

NEAREST = "nearest x"
ROWS = 3
COLUMNS = 2
GAP = 0.25
OTHER_CLASS = "#d55e00"
CAPTION = (
    "Left: image in the worst case, with its class and, after the arrow, the predicted one. Beside "
    "it: its nearest training images in feature\nspace, with their classes. Orange: a class other "
    "than the image's. The images are the same for all methods of a task: those that\nbecame wrong "
    "under most of them. Natural training, repetition 0."
)


def draw(results: Results) -> Figure | None:
    """Return a block of images a method, or None if no neighbours were stored."""
    models = [model for model in attacked_images(results) if NEAREST in model.arrays]
    if not models:
        return None
    lines = -(-len(models) // COLUMNS)
    figure = Figure(figsize=(4.6 * COLUMNS, 2.9 * lines + 0.4), layout="constrained")
    blocks = figure.subfigures(lines, COLUMNS, squeeze=False).flat
    for _, group in groupby(models, lambda model: model.task):
        same_task = list(group)
        chosen = most_fooled(same_task)
        for model in same_task:
            _draw_block(next(blocks), model, chosen)
    figure.supxlabel(CAPTION, fontsize=7)
    return figure


def most_fooled(models: Sequence[Attacked]) -> list[int]:
    """Return the numbers of the images with neighbours that most of the models get wrong.

    That is right without attack and wrong in the worst case; of equals, the first images.
    """
    count = sum(model.fooled(WORST)[: len(model.arrays[NEAREST])].astype(int) for model in models)
    return sorted(np.argsort(-np.asarray(count), kind="stable")[:ROWS].tolist())


def _draw_block(block: SubFigure, model: Attacked, chosen: Sequence[int]) -> None:
    neighbors, classes = model.arrays[NEAREST], model.arrays["nearest class"]
    width = [1, GAP, *[1] * neighbors.shape[1], GAP]
    grid = block.subplots(ROWS, len(width), squeeze=False, width_ratios=width)
    for ax in grid.flat:
        ax.set_axis_off()
    for axes, number in zip(grid, chosen, strict=False):
        label, predicted = model.labels[number], model.predicted(WORST)[number]
        model.show(axes[0], model.images(WORST)[number])
        axes[0].set_title(f"{label} → {predicted}", color=_color(predicted, label), fontsize=9)
        for ax, image, found in zip(axes[2:-1], neighbors[number], classes[number], strict=True):
            model.show(ax, image)
            ax.set_title(str(found), color=_color(found, label), fontsize=9)
    block.suptitle(f"{model.method}, {model.task}", fontsize=10, weight="bold")


def _color(found: Array, label: Array) -> str:
    return "black" if found == label else OTHER_CLASS
