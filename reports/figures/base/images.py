"""Attacked images, as figures show them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lapbench.reports.figures.base.layout import heading
from lapbench.reports.results import Arrays, Results
from lapbench.reports.robustness import CLEAN
from lapbench.reports.style import SMALL

Array = np.ndarray[Any, Any]
Place = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Attacked:
    """The first attacked images of a trained model.

    Attributes:
        task: its task and backbone.
        method: its name.
        records: its numbers.
        arrays: what was stored of it.

    """

    task: str
    method: str
    records: pd.DataFrame
    arrays: Arrays

    @property
    def title(self) -> str:
        """Method and task on short lines."""
        return f"{heading(self.method, 1.2)}\n{heading(self.task, 1.2)}"

    @property
    def labels(self) -> Array:
        """The classes (k,)."""
        return self.arrays["attacked labels"]

    def images(self, attack: str = CLEAN) -> Array:
        """Images (k, channels, height, width) as an attack left them."""
        return self.arrays[f"attacked x: {attack}"]

    def predicted(self, attack: str = CLEAN) -> Array:
        """Predicted classes (k,)."""
        return self.arrays[f"attacked class: {attack}"]

    def has(self, attack: str) -> bool:
        """Tell whether an attack was run."""
        return f"attacked x: {attack}" in self.arrays

    def fooled(self, attack: str) -> Array:
        """Whether each image (k,) was right and became wrong."""
        right = self.predicted() == self.labels
        return np.asarray(right & (self.predicted(attack) != self.labels))

    def show(self, ax: Axes, image: Array, place: Place) -> None:
        """Draw an image on the scale of the images that are not attacked."""
        low, high = float(self.images().min()), float(self.images().max())
        if len(image) == 1:
            show(ax, image[0], place, cmap="gray", vmin=low, vmax=high)
        else:
            show(ax, ((image - low) / (high - low)).clip(0, 1).transpose(1, 2, 0), place)


def show(ax: Axes, image: Array, place: Place, **scale: Any) -> None:
    """Draw an image as a square of side 1, right and below of its place."""
    x, y = place
    ax.imshow(image, extent=(x, x + 1, y + 1, y), **scale)


def write_above(ax: Axes, text: str, place: Place, **style: Any) -> None:
    """Write above the image at a place."""
    x, y = place
    ax.text(x + 0.5, y - 0.06, text, ha="center", va="bottom", fontsize=SMALL, **style)


def frame(ax: Axes, right: float, bottom: float, top: float) -> None:
    """Show these many squares, downwards, without an axis."""
    ax.set(xlim=(0, right), ylim=(bottom, -top), xticks=[], yticks=[], aspect="equal")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def attacked_images(results: Results) -> Iterator[Attacked]:
    """Yield the naturally trained models of repetition 0 whose inputs are images."""
    records = results.records
    first = records[(records["repetition"] == 0) & (records["training"] == "natural")]
    for key, rows in first.groupby("key", sort=False):
        arrays = results.arrays(str(key))
        clean = arrays.get(f"attacked x: {CLEAN}")
        if clean is not None and clean.ndim == 4 and clean.shape[1] in (1, 3):
            cell = rows.iloc[0]
            yield Attacked(f"{cell['task']}, {cell['backbone']}", cell["method"], rows, arrays)
