"""Learned planar embeddings over the epochs, one row a method (GLL paper, figure 3).

Needs: any suite with a two-dimensional backbone and `snapshot_epochs`, such as
`lapbench run two-moons`.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure

from lapbench.reports.colors import category_colors
from lapbench.reports.figures.base.layout import heading, sheet
from lapbench.reports.results import Arrays, Results, panels
from lapbench.reports.style import PAGE, SMALL

PREFIX = "features_"
CAPTION = (
    "Colour: class. Star: labelled base sample. Number: spread within classes over distance of "
    "class means. Each panel has its own scale."
)


def draw(results: Results) -> Figure | None:
    """Grid for the first repetition, or None if no embedding was stored."""
    rows = _embeddings(results)
    if not rows:
        return None
    epochs = sorted({name for _, arrays in rows for name in arrays if name.startswith(PREFIX)})
    side = PAGE / (len(epochs) + 0.3)
    figure = sheet((side + 0.2) * len(rows) + 0.2, caption=CAPTION)
    grid = figure.subplots(len(rows), len(epochs), squeeze=False)
    for axes, (about, arrays) in zip(grid, rows, strict=True):
        for ax, name in zip(axes, epochs, strict=True):
            if name in arrays:
                _scatter(ax, arrays, name)
            ax.set(xticks=[], yticks=[])
        axes[0].set_ylabel(heading(about, side))
    for ax, name in zip(grid[0], epochs, strict=True):
        ax.set_title(f"epoch {int(name.removeprefix(PREFIX))}")
    return figure


def _embeddings(results: Results) -> list[tuple[str, Arrays]]:
    """Names and arrays of each cell, with the task if there are several."""
    first = results.records[results.records["repetition"] == 0].drop_duplicates("key")
    embeddings = []
    for title, cells in panels(first):
        for cell in cells.itertuples():
            arrays = results.arrays(str(cell.key))
            sizes = {array.shape[1] for name, array in arrays.items() if name.startswith(PREFIX)}
            if sizes == {2}:
                embeddings.append((title, str(cell.method), arrays))
    several = len({title for title, *_ in embeddings}) > 1
    return [
        (f"{method}, {title}" if several else method, arrays)
        for title, method, arrays in embeddings
    ]


def _scatter(ax: Axes, arrays: Arrays, name: str) -> None:
    points, labels = arrays[name], arrays["labels"]
    colors = to_rgba_array(category_colors(int(labels.max()) + 1))[labels]
    ax.scatter(points[:, 0], points[:, 1], c=colors, s=2, linewidths=0, rasterized=True)
    x, y = points[arrays["held_out"]].T
    stars = ax.scatter(x, y, c=colors[arrays["held_out"]], s=30, marker="*")
    stars.set(edgecolor="black", linewidth=0.5)
    ax.set_xlabel(f"{spread(points, labels):.2f}", fontsize=SMALL, labelpad=2)


def spread(points: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """RMS distance to the class mean over the mean distance of class means.

    A scale-free number: the smaller, the tighter the classes are for how far they stand apart. It
    is NaN where a point is not finite.
    """
    points = np.where(np.isfinite(points), points, np.nan)
    classes = np.unique(labels)
    means = np.stack([points[labels == label].mean(axis=0) for label in classes])
    within = points - means[np.searchsorted(classes, labels)]
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)
    typical = apart.sum() / max(len(classes) * (len(classes) - 1), 1)
    return float(np.sqrt((within**2).sum(axis=1).mean()) / typical)
