"""Images in the worst case and their nearest training images (WNLL paper, figure 10).

Needs: any suite with images and a table `[robustness]`, such as `lapbench run robustness`.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.figures.base.images import (
    Array,
    Attacked,
    attacked_images,
    frame,
    write_above,
)
from lapbench.reports.figures.base.layout import grid, heading, sheet
from lapbench.reports.results import Results
from lapbench.reports.robustness import WORST

NEAREST = "nearest x"
ROWS = 3
COLUMNS = 2
APART, GAP, DOWN, HEAD = 1.15, 0.25, 1.4, 0.4
"""In sides of an image: columns apart, gap after the first, rows apart, room above the first."""
BOTTOM = DOWN * (ROWS - 1) + 1.1
OTHER_CLASS = "#d55e00"
CAPTION = (
    "Left: image in the worst case, with its class and, after the arrow, the predicted one. Beside "
    "it: its nearest training images in feature space, with their classes. Orange: a class other "
    "than the image's. The images are the same for all methods of a task: those that became wrong "
    "under most of them. Natural training, repetition 0."
)


def draw(results: Results) -> Figure | None:
    """Block of images a method, or None if no neighbours were stored."""
    models = [model for model in attacked_images(results) if NEAREST in model.arrays]
    if not models:
        return None
    right = 1 + GAP + APART * max(model.arrays[NEAREST].shape[1] for model in models)
    columns = min(len(models), COLUMNS)
    figure = sheet(0, columns, caption=CAPTION)
    side = (figure.get_figwidth() / columns - 0.1) / right
    lines = -(-len(models) // columns)
    figure.set_figheight(figure.get_figheight() + lines * (side * (BOTTOM + HEAD) + 0.2))
    axes = iter(grid(figure, len(models), columns))
    for _, group in groupby(models, lambda model: model.task):
        same_task = list(group)
        chosen = most_fooled(same_task)
        for model in same_task:
            ax = next(axes)
            _draw_block(ax, model, chosen)
            frame(ax, right, BOTTOM, HEAD)
            title = f"{model.method}, {model.task}"
            ax.set_title(heading(title, figure.get_figwidth() / columns), loc="left")
    return figure


def most_fooled(models: Sequence[Attacked]) -> list[int]:
    """Numbers of the images with neighbours that most of the models get wrong.

    That is right without attack and wrong in the worst case; of equals, the first images.
    """
    count = sum(model.fooled(WORST)[: len(model.arrays[NEAREST])].astype(int) for model in models)
    return sorted(np.argsort(-np.asarray(count), kind="stable")[:ROWS].tolist())


def _draw_block(ax: Axes, model: Attacked, chosen: Sequence[int]) -> None:
    neighbors, classes = model.arrays[NEAREST], model.arrays["nearest class"]
    for row, number in enumerate(chosen):
        label, predicted = model.labels[number], model.predicted(WORST)[number]
        places = [(0.0, DOWN * row)]
        places += [(1 + GAP + APART * j, DOWN * row) for j in range(neighbors.shape[1])]
        model.show(ax, model.images(WORST)[number], places[0])
        write_above(ax, f"{label} → {predicted}", places[0], color=_color(predicted, label))
        for place, image, nearest in zip(
            places[1:], neighbors[number], classes[number], strict=True
        ):
            model.show(ax, image, place)
            write_above(ax, str(nearest), place, color=_color(nearest, label))


def _color(shown: Array, label: Array) -> str:
    return "black" if shown == label else OTHER_CLASS
