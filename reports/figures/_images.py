"""Attacked images, as figures show them."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lapbench.reports.results import Arrays, Results
from lapbench.reports.robustness import CLEAN

Array = np.ndarray[Any, Any]


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
        return f"{textwrap.fill(self.method, 22)}\n{textwrap.fill(self.task, 22)}"

    @property
    def labels(self) -> Array:
        """The classes (k,)."""
        return self.arrays["attacked labels"]

    def images(self, attack: str = CLEAN) -> Array:
        """Return the images (k, channels, height, width) as an attack left them."""
        return self.arrays[f"attacked x: {attack}"]

    def predicted(self, attack: str = CLEAN) -> Array:
        """Return the predicted classes (k,)."""
        return self.arrays[f"attacked class: {attack}"]

    def has(self, attack: str) -> bool:
        """Tell whether an attack was run."""
        return f"attacked x: {attack}" in self.arrays

    def fooled(self, attack: str) -> Array:
        """Return which images (k,) were right and became wrong."""
        right = self.predicted() == self.labels
        return np.asarray(right & (self.predicted(attack) != self.labels))

    def show(self, ax: Axes, image: Array) -> None:
        """Draw an image on the scale of the images that are not attacked."""
        low, high = float(self.images().min()), float(self.images().max())
        if len(image) == 1:
            ax.imshow(image[0], cmap="gray", vmin=low, vmax=high)
        else:
            ax.imshow(((image - low) / (high - low)).clip(0, 1).transpose(1, 2, 0))


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
