"""Numbers under attack, as figures draw them."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import Transform, offset_copy

from lapbench.reports.colors import Styles
from lapbench.reports.figures.base.layout import entry
from lapbench.reports.results import Results, finite
from lapbench.reports.robustness import ACCURACY, CLEAN
from lapbench.reports.statistics.tests import interval

_WIDTH, _APART = 16.0, 2.0
"""Points that all methods at a level take side by side, and that two are apart, at most."""
_ROOM = 0.3


def after_last_step(records: pd.DataFrame) -> pd.DataFrame:
    """Numbers under attack, at each level those after the largest number of steps."""
    attacked = records[records["attack"] != ""]
    last = attacked.groupby(["key", "attack", "parameter", "level"])["steps"].transform("max")
    return attacked[attacked["steps"] == last]


def accuracies(attacked: pd.DataFrame, attack: str) -> pd.DataFrame:
    """Accuracies under an attack, and before it, as level 0, of the same cells."""
    accurate = finite(attacked[attacked["metric"] == ACCURACY])
    cells = accurate.loc[accurate["attack"] == attack, "key"]
    return accurate[accurate["attack"].isin([CLEAN, attack]) & accurate["key"].isin(cells)]


def describe_level(parameter: str, level: float) -> str:
    """Level of an attack in words; empty for an attack without levels."""
    return {
        "": "",
        "snr": f"SNR {level:g} dB",
        "share": f"{100 * level:g} %",
        "bits": f"{level:g} bits",
        "epsilon": f"ε = {level:g}",
    }.get(parameter, f"{parameter} = {level:g}")


def method_styles(results: Results, methods: Iterable[str]) -> Styles:
    """Marker and colour of some methods, the same in every figure."""
    some = set(methods)
    return {method: style for method, style in results.styles().items() if method in some}


def method_entries(styles: Styles) -> list[Line2D]:
    """Entries of a legend that names the methods."""
    return [entry(method, **style) for method, style in styles.items()]


def draw_accuracy(ax: Axes, rows: pd.DataFrame, styles: Styles) -> None:
    """Draw for each method its mean accuracy in % against the level, with 95 % t-intervals."""
    for method, style in styles.items():
        by_level = rows[rows["method"] == method].groupby("level")["value"]
        intervals = {level: interval(list(100 * values)) for level, values in by_level}
        half = [
            0.0 if math.isnan(each.high) else each.high - each.mean for each in intervals.values()
        ]
        means = [each.mean for each in intervals.values()]
        line: dict[str, Any] = {**style, "transform": _beside(ax, method, styles)}
        _, _, (bars,) = ax.errorbar(list(intervals), means, yerr=half, elinewidth=0.8, **line)
        bars.set_alpha(0.5)
    ax.set_ylim(-4, 104)
    ax.set_yticks(range(0, 101, 20))
    ax.grid()


def draw_published(ax: Axes, published: pd.DataFrame, styles: Styles) -> None:
    """Draw published accuracies as hollow markers, each at its level beside its method's line."""
    for method, rows in published.groupby("method"):
        style = styles[str(method)]
        ax.plot(
            rows["level"],
            100 * rows["published"],
            linestyle="none",
            marker=style["marker"],
            markeredgecolor=style["color"],
            markerfacecolor="none",
            markersize=7,
            transform=_beside(ax, str(method), styles),
        )


def _beside(ax: Axes, method: str, styles: Styles) -> Transform:
    """Transform that shifts each method a little, so that bars do not hide each other."""
    apart = min(_APART, _WIDTH / len(styles))
    shift = apart * (list(styles).index(method) - (len(styles) - 1) / 2)
    return offset_copy(ax.transData, ax.get_figure(root=True), x=shift, units="points")


def log_levels(ax: Axes, levels: Iterable[float]) -> None:
    """Make the axis of levels logarithmic, but from 0, not attacked, to the first level."""
    zero, first, *more = sorted({0.0, *levels})
    ax.set_xscale("symlog", linthresh=first, linscale=_ROOM)
    ax.set_xticks([zero, first, *more], [f"{level:g}" for level in (zero, first, *more)])
    ax.set_xticks([], minor=True)
    ax.set_xlim(-first, 2 * max([first, *more]))
