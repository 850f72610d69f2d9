"""Learned planar embeddings over the epochs, one row a method (GLL paper, figure 3).

Needs: `lapbench run two-moons`, or any suite with a two-dimensional backbone and snapshot_epochs.
"""

from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.results import Arrays, Results

PREFIX = "features_"


def draw(results: Results) -> Figure | None:
    """Return the grid for the first repetition, or None if no embedding was stored."""
    rows = _embeddings(results)
    if not rows:
        return None
    epochs = sorted(
        {name for arrays in rows.values() for name in arrays if name.startswith(PREFIX)}
    )
    figure = Figure(figsize=(1.5 * len(epochs) + 0.6, 1.5 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), len(epochs), squeeze=False)
    for axes, (method, arrays) in zip(grid, rows.items(), strict=True):
        for ax, name in zip(axes, epochs, strict=True):
            if name in arrays:
                _scatter(ax, arrays, name)
            ax.set(xticks=[], yticks=[])
        axes[0].set_ylabel(method, fontsize=8)
    for ax, name in zip(grid[0], epochs, strict=True):
        ax.set_title(f"epoch {int(name.removeprefix(PREFIX))}", fontsize=9)
    figure.supxlabel(
        "Colour: class. Star: labelled base sample. Number: spread within classes over distance of "
        "class means. Each panel has its own scale.",
        fontsize=7,
    )
    return figure


def _embeddings(results: Results) -> dict[str, Arrays]:
    first = results.records[results.records["repetition"] == 0].drop_duplicates("key")
    found = {}
    for cell in first.itertuples():
        arrays = results.arrays(str(cell.key))
        sizes = {array.shape[1] for name, array in arrays.items() if name.startswith(PREFIX)}
        if sizes == {2}:
            found[str(cell.method)] = arrays
    return found


def _scatter(ax: Axes, arrays: Arrays, name: str) -> None:
    points, labels = arrays[name], arrays["labels"]
    palette = seaborn.color_palette("colorblind", int(labels.max()) + 1)
    colors = np.array([palette[label] for label in labels])
    ax.scatter(points[:, 0], points[:, 1], c=colors, s=2, linewidths=0)
    x, y = points[arrays["held_out"]].T
    stars = ax.scatter(x, y, c=colors[arrays["held_out"]], s=40, marker="*")
    stars.set(edgecolor="black", linewidth=0.5)
    ax.set_xlabel(f"{spread(points, labels):.2f}", fontsize=7, labelpad=2)


def spread(points: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """Return the RMS distance to the class mean over the mean distance of class means.

    A scale-free number: the smaller, the tighter the classes are for how far they stand apart.
    """
    classes = np.unique(labels)
    means = np.stack([points[labels == label].mean(axis=0) for label in classes])
    within = points - means[np.searchsorted(classes, labels)]
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)
    typical = apart.sum() / max(len(classes) * (len(classes) - 1), 1)
    return float(np.sqrt((within**2).sum(axis=1).mean()) / typical)
