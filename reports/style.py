"""The look of all figures: the size of a column, fonts that are legible in print, three formats."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.style import context

COLUMN, PAGE = 3.4, 7.1
"""Widths of one column and of two, in inches."""
LETTERS_AN_INCH = 18
"""Of the smallest font."""
SMALL = 7
FORMATS: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}
"""Endings, and what files say of themselves; none says when it was made."""
_FONT = "DejaVu Sans"
_SETTINGS: dict[str, Any] = {
    "font.family": _FONT,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "figure.titlesize": 8,
    "figure.titleweight": "bold",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    # Outlines in SVG look the same everywhere, and TrueType in PDF can be searched and edited.
    "svg.fonttype": "path",
    "svg.hashsalt": "lapbench",
    "pdf.fonttype": 42,
    "image.composite_image": False,
    "savefig.dpi": 200,
}


@contextmanager
def paper() -> Iterator[None]:
    """Set fonts, lines and formats while figures are drawn; :func:`save` does it by itself.

    Settings of the user are left aside, so that a figure looks the same everywhere.
    """
    with context(_SETTINGS, after_reset=True):
        yield


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG, PDF and PNG, and return the files.

    The same figure gives the same bytes.
    """
    # It warns of the time of making that the font states, which is right.
    logging.getLogger("fontTools.ttLib").setLevel(logging.ERROR)
    files = [folder / f"{name}.{ending}" for ending in FORMATS]
    with paper():
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # Panels have their places; each format would ask again.
        for file, metadata in zip(files, FORMATS.values(), strict=True):
            figure.savefig(file, metadata=metadata)
    return files


def shortened(name: str, letters: int = 48) -> str:
    """Name without its middle where it is long."""
    if len(name) <= letters:
        return name
    end = (letters - 1) // 2
    return f"{name[: letters - 1 - end]}…{name[len(name) - end :]}"


def shown(name: str, letters: int = 48) -> str:
    """Name as figures write it: shortened, on one line, and never as a formula.

    What the font has no letter for, and what changes the direction of writing, becomes "□".
    """
    known = _letters()
    text = "".join(
        letter if letter.isprintable() and ord(letter) in known else "□"
        for letter in shortened(name, letters)
    )
    return text.replace("$", r"\$")


@cache
def _letters() -> set[int]:
    return set(get_font(findfont(_FONT)).get_charmap())
