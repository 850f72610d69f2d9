"""Numbers under attack, as figures draw them."""

import math
from collections.abc import Iterable
from textwrap import fill
from typing import Any

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from lapbench.reports.figures.smoothness import MARKERS
from lapbench.reports.results import Results
from lapbench.reports.robustness import ACCURACY, CLEAN
from lapbench.reports.statistics import interval

_APART = 2.0
_ROOM = 0.3

Styles = dict[str, dict[str, Any]]


def after_last_step(records: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers under attack, at each level those after the largest number of steps."""
    attacked = records[records["attack"] != ""]
    last = attacked.groupby(["key", "attack", "parameter", "level"])["steps"].transform("max")
    return attacked[attacked["steps"] == last]


def accuracies(attacked: pd.DataFrame, attack: str) -> pd.DataFrame:
    """Return the accuracies under an attack, and before it, as level 0, of the same cells."""
    found = attacked[attacked["metric"] == ACCURACY]
    cells = found.loc[found["attack"] == attack, "key"]
    return found[found["attack"].isin([CLEAN, attack]) & found["key"].isin(cells)]


def describe_level(parameter: str, level: float) -> str:
    """Return how strong an attack is, in words; empty for an attack without levels."""
    return {
        "": "",
        "snr": f"SNR {level:g} dB",
        "share": f"{100 * level:g} %",
        "bits": f"{level:g} bits",
        "epsilon": f"ε = {level:g}",
    }.get(parameter, f"{parameter} = {level:g}")


def method_styles(results: Results, methods: Iterable[str]) -> Styles:
    """Return colour and marker of each of some methods, the same in every figure."""
    some = set(methods)
    return {
        method: {"color": color, "marker": MARKERS[number % len(MARKERS)]}
        for number, (method, color) in enumerate(results.colors().items())
        if method in some
    }


def draw_accuracy(ax: Axes, rows: pd.DataFrame, styles: Styles) -> None:
    """Draw for each method its mean accuracy in % against the level, with 95 % t-intervals.

    Methods are shifted by a few points, as bars at the same level would hide each other.
    """
    for number, (method, style) in enumerate(styles.items()):
        by_level = rows[rows["method"] == method].groupby("level")["value"]
        found = {level: interval(list(100 * values)) for level, values in by_level}
        half = [0.0 if math.isnan(each.high) else each.high - each.mean for each in found.values()]
        shift = _APART * (number - (len(styles) - 1) / 2)
        place = offset_copy(ax.transData, ax.get_figure(root=True), x=shift, units="points")
        means = [each.mean for each in found.values()]
        line: dict[str, Any] = {"markersize": 4, "linewidth": 1.2, "elinewidth": 0.8}
        drawn = ax.errorbar(list(found), means, yerr=half, transform=place, **line, **style)
        _, _, (bars,) = drawn
        bars.set_alpha(0.5)
    ax.set_ylim(-4, 104)
    ax.set_yticks(range(0, 101, 20))
    ax.grid(alpha=0.3)
    seaborn.despine(ax=ax)


def log_levels(ax: Axes, levels: Iterable[float]) -> None:
    """Make the axis of levels logarithmic, but from 0, not attacked, to the first level."""
    zero, first, *more = sorted({0.0, *levels})
    ax.set_xscale("symlog", linthresh=first, linscale=_ROOM)
    ax.set_xticks([zero, first, *more], [f"{level:g}" for level in (zero, first, *more)])
    ax.set_xticks([], minor=True)
    ax.set_xlim(-first / 2, 1.4 * max([first, *more]))


def add_legend(figure: Figure, styles: Styles) -> None:
    """Name the methods beside the panels."""
    handles = [Line2D([], [], label=method, markersize=4, **styles[method]) for method in styles]
    figure.legend(handles=handles, loc="outside right center", frameon=False)


def legend_width(styles: Styles) -> float:
    """Return the inches that the names of the methods take beside the panels."""
    return 0.7 + 0.085 * max(map(len, styles))


def add_caption(figure: Figure, text: str) -> None:
    """Write below a figure, in lines as long as it is wide."""
    letters_an_inch = 17
    width = int(letters_an_inch * figure.get_figwidth())
    figure.supxlabel(fill(text, width), fontsize=7)
