"""The colour and the marker of every method, the same in all figures and on the page.

Each hue has a contrast of 3 or more with white paper and with the page in dark mode (WCAG 2.2,
1.4.11). Colour-blind readers can tell it from the other seven. Rows that share a hue differ in
lightness (contrast of 2 or more) and in marker.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import seaborn

HUES = {
    "softmax": "#6a6a6a",
    "svm": "#a378fa",
    "gll": "#3c66df",
    "wnll": "#269fc3",
    "sparse_manifold": "#10761c",
    "label_smoothness": "#f06195",
    "parseval": "#a73ba7",
    "bilevel": "#bd8307",
}
MARKERS = "os^Dv<>PXph*"
PAPER, DARK_PAGE = "#ffffff", "#15181c"
SHADE_CONTRAST = 2.02
"""Of shades to paper and page, with a margin for the rounding of colours to 8 bits."""

Styles = dict[str, dict[str, Any]]


def method_colors(methods: Iterable[str]) -> dict[str, str]:
    """Colour of each method as "#rrggbb", in sorted order of the names.

    A name is a head or a term, perhaps with terms (" + ") and parameters (" (…)"). The eight
    methods have fixed hues; rows that begin with the same one are lighter and darker than the first
    of them. Other names take the hues of absent methods, then those that are shared by fewest.

    Args:
        methods: names of all rows of a report, so that a row has one colour in all its figures.

    """
    return {name: style["color"] for name, style in method_styles(methods).items()}


def method_styles(methods: Iterable[str]) -> Styles:
    """``color`` and ``marker`` of each method; see :func:`method_colors`."""
    names = sorted(set(methods))
    styles = {}
    for number, (method, own) in enumerate(_by_hue(names).items()):
        shades = zip(own, _shades(HUES[method], len(own)), strict=False)
        for place, (name, color) in enumerate(shades, start=number):
            styles[name] = {"color": color, "marker": MARKERS[place % len(MARKERS)]}
    return {name: styles[name] for name in names}


def category_colors(count: int) -> list[str]:
    """Colour-blind-safe colours of classes, stages and other categories."""
    return list(seaborn.color_palette("colorblind", count).as_hex())


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted([_luminance(_linear(one)), _luminance(_linear(other))])
    return (lighter + 0.05) / (darker + 0.05)


def _by_hue(names: Iterable[str]) -> dict[str, list[str]]:
    """Names that share each hue, in the order of the hues."""
    shared: dict[str, list[str]] = {method: [] for method in HUES}
    others: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        family = re.split(r" \(| \+ ", name)[0]
        (shared if family in HUES else others)[family].append(name)
    for own in others.values():
        min(shared.values(), key=len).extend(own)
    return shared


def _shades(hue: str, count: int) -> list[str]:
    """Hue, then mixtures with black or white, in equal steps of contrast."""
    lowest = SHADE_CONTRAST * (_luminance(_linear(DARK_PAGE)) + 0.05)
    highest = (_luminance(_linear(PAPER)) + 0.05) / SHADE_CONTRAST
    steps = max(count - 1, 1)
    levels = [lowest * (highest / lowest) ** (step / steps) - 0.05 for step in range(count)]
    base = _luminance(_linear(hue))
    others = sorted(levels, key=lambda level: abs(level - base))[1:]
    return [hue, *(_mixed(hue, level) for level in sorted(others))]


def _mixed(hue: str, luminance: float) -> str:
    """Mixture with black or white that has a luminance."""
    linear = _linear(hue)
    base = _luminance(linear)
    if luminance < base:
        mixed = [luminance / base * part for part in linear]
    else:
        white = (luminance - base) / (1 - base)
        mixed = [white + (1 - white) * part for part in linear]
    return "#" + "".join(f"{round(255 * _encoded(part)):02x}" for part in mixed)


def _linear(color: str) -> list[float]:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def _encoded(part: float) -> float:
    return 12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055


def _luminance(linear: Iterable[float]) -> float:
    return sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
