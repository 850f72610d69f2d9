"""Training loss and validation accuracy over the epochs (GLL paper, figure 4).

Needs: any suite with a method that also follows a graph learning layer while it trains, and so
stores the curves `gll_loss` and `gll_validation_accuracy`, such as `lapbench run gll-switching`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lapbench.reports.figures.base.layout import entry, heading, sheet
from lapbench.reports.results import Results, panels_of_methods

STYLES = {
    "": ("-", "o", "its own"),
    "gll_": ("--", "s", "gll on its features"),
    "softmax_": ("-.", "D", "softmax on its features"),
}
LOSSES = {prefix: f"{prefix or 'training_'}loss" for prefix in STYLES}
ACCURACIES = {prefix: f"{prefix}validation_accuracy" for prefix in STYLES}

CAPTION = (
    "Mean over repetitions. A method's own training loss is the mean over the steps of the epoch, "
    "the others are after it; its own accuracy is that of the classifier in training."
)

Means = dict[str, dict[str, np.ndarray[Any, Any]]]


def draw(results: Results) -> Figure | None:
    """One row of panels a task, backbone and training, or None without a GLL curve."""
    rows = list(_rows(results))
    if not rows:
        return None
    colors = {
        name: color
        for name, color in results.colors().items()
        if any(name in means for _, means in rows)
    }
    figure = sheet(2.2 * len(rows), 2, _legend(colors, _drawn(rows)), CAPTION)
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for (loss, accuracy), (title, means) in zip(grid, rows, strict=True):
        # Lines that coincide, as those of a common first phase do, stay visible by their widths.
        for method, width in zip(colors, np.linspace(2.0, 1.0, len(colors)), strict=True):
            style = {"color": colors[method], "linewidth": width}
            _draw_method(loss, means.get(method, {}), LOSSES, style)
            _draw_method(accuracy, means.get(method, {}), ACCURACIES, style, unit=100)
        loss.set_title(heading(title, figure.get_figwidth()), loc="left")
        loss.set_ylabel("training loss")
        if np.isfinite(loss.dataLim.minposy):
            loss.set_yscale("log")
        accuracy.set(ylabel="validation accuracy [%]")
    for ax in grid.flat:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        ax.grid()
    return figure


def mean_over_repetitions(curves: Sequence[Sequence[float | None]]) -> np.ndarray[Any, Any]:
    """Mean of each epoch over the repetitions measured then, NaN where none was."""
    epochs = pd.DataFrame(list(zip_longest(*curves)), dtype=float)
    mean: np.ndarray[Any, Any] = epochs.where(np.isfinite(epochs)).mean(axis=1).to_numpy()
    return mean


def _rows(results: Results) -> Iterator[tuple[str, Means]]:
    """Yield title and curves of each method where some method has a GLL curve."""
    for title, means in panels_of_methods(results, partial(_means, results)):
        if any(name.startswith("gll_") for curves in means.values() for name in curves):
            yield title, means


def _means(results: Results, cells: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    stored = [results.curves(str(key)) for key in cells["key"]]
    means = {}
    for name in (*LOSSES.values(), *ACCURACIES.values()):
        curves = [curves[name] for curves in stored if curves.get(name)]
        if curves and not np.isnan(mean := mean_over_repetitions(curves)).all():
            means[name] = mean
    return means


def _draw_method(
    ax: Axes,
    means: dict[str, np.ndarray[Any, Any]],
    names: dict[str, str],
    style: dict[str, Any],
    unit: float = 1,
) -> None:
    for prefix, name in names.items():
        if name in means:
            values = unit * means[name]
            epochs = np.arange(1, len(values) + 1)
            linestyle, marker, _ = STYLES[prefix]
            (line,) = ax.plot(epochs, values, linestyle=linestyle, **style)
            line.set(marker=marker, markevery=list(_alone(values)))


def _alone(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Whether each value is between gaps, where a line does not show it."""
    known = np.pad(~np.isnan(values), 1)
    return np.asarray(known[1:-1] & ~known[:-2] & ~known[2:])


def _drawn(rows: Sequence[tuple[str, Means]]) -> set[str]:
    return {name for _, means in rows for curves in means.values() for name in curves}


def _legend(colors: dict[str, str], drawn: set[str]) -> list[Line2D]:
    classifiers = [
        entry(f"classifier: {label}", color="black", linestyle=linestyle, marker=marker)
        for prefix, (linestyle, marker, label) in STYLES.items()
        if {LOSSES[prefix], ACCURACIES[prefix]} & drawn
    ]
    return [*(entry(name, color=color) for name, color in colors.items()), *classifiers]
