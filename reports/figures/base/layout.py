"""Sheets of a column or a page, with the names above the panels and a caption below them."""

from collections.abc import Sequence
from textwrap import fill, wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from lapbench.reports.style import COLUMN, LETTERS_AN_INCH, PAGE, SMALL, shown

LINE = 0.14
"""Height of a line of small text in inches."""
_HANDLE = 6
"""Letters that the line of an entry takes beside its name."""


def sheet(
    height: float, columns: int = 2, legend: Sequence[Line2D] = (), caption: str = ""
) -> Figure:
    """Figure with a legend and a caption, and room for its panels.

    Args:
        height: of the panels together, in inches.
        columns: of panels; one is as wide as a column of a paper, several are as wide as two.
        legend: its entries, which stand above the panels.
        caption: what the lines and marks are, below the panels.

    """
    width = sheet_width(columns)
    lines = wrap(caption, int(LETTERS_AN_INCH * width))
    longest = max((len(str(entry.get_label())) for entry in legend), default=0)
    across = max(1, int(LETTERS_AN_INCH * width) // (longest + _HANDLE))
    down = -(-len(legend) // across)
    total = height + LINE * (down + len(lines)) + 0.1
    figure = Figure(figsize=(width, total), layout="constrained")
    if legend:
        figure.legend(handles=list(legend), loc="outside upper left", ncols=across)
    if caption:
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=SMALL)
    return figure


def entry(label: str, **style: Any) -> Line2D:
    """Entry of a legend."""
    return Line2D([], [], label=shown(label), **style)


def sheet_width(columns: int) -> float:
    """Inches of a sheet with panels in some columns: a column of a paper, or two."""
    return COLUMN if columns == 1 else PAGE


def heading(text: str, inches: float) -> str:
    """Title of a panel that has this width, in two lines at most."""
    letters = int(0.8 * LETTERS_AN_INCH * inches)
    return fill(shown(text, 2 * letters - 8), letters)


def grid(figure: FigureBase, count: int, columns: int, **more: Any) -> list[Axes]:
    """Axes in rows, without the unused ones of the last row."""
    axes = list(figure.subplots(-(-count // columns), columns, squeeze=False, **more).flat)
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]
