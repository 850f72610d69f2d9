"""What a figure shows, for the tests of figures."""

import io
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def drawn(figure: Figure | None) -> Figure:
    """The figure, after it has been written like those of a report, warnings being errors."""
    assert figure is not None
    figure.savefig(io.BytesIO(), dpi=50)
    return figure


def line(ax: Axes, color: Any, style: str = "") -> Line2D:
    """The one line of a colour, and of a style if one is given."""
    (only,) = (
        each
        for each in ax.get_lines()
        if to_rgb(each.get_color()) == to_rgb(color) and style in ("", each.get_linestyle())
    )
    return only


def legend(figure: Figure) -> list[str]:
    """The entries of the legend, from top to bottom."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def titles(axes: Iterable[Axes]) -> list[str]:
    """The titles of panels that are shown."""
    return [ax.get_title("left") for ax in axes if ax.axison]


def texts(ax: Axes) -> list[str]:
    """What is written in a panel."""
    return [text.get_text() for text in ax.texts]
