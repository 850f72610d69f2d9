"""A method has one colour in every report, which all readers tell from the others."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapbench.reports.colors import (
    DARK_PAGE,
    HUES,
    MARKERS,
    PAPER,
    category_colors,
    contrast,
    method_colors,
    method_styles,
)

# What is seen without one kind of cones, in linear light: G. M. Machado, M. M. Oliveira,
# L. A. F. Fernandes, "A physiologically-based model for simulation of color vision deficiency",
# 2009, severity 1.
SEEN = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# Linear light to cones, and their cube roots to Oklab: B. Ottosson, 2020.
TO_CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_OKLAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def oklab(color: str, seen: str) -> np.ndarray:
    """Lightness and two axes of colour, as a reader sees it."""
    parts = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    light = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    shown = np.clip(np.array(SEEN[seen]) @ light, 0, 1)
    return np.array(TO_OKLAB) @ np.cbrt(np.array(TO_CONES) @ shown)


@pytest.mark.parametrize(("seen", "least"), [("all", 0.15), *[(s, 0.085) for s in SEEN][1:]])
def test_hues_differ_for_all_readers(seen: str, least: float):
    """A difference of 0.02 in Oklab is just noticeable."""
    for one, other in combinations(HUES.values(), 2):
        assert np.linalg.norm(oklab(one, seen) - oklab(other, seen)) > least, (one, other)


def test_softmax_is_grey():
    assert len({HUES["softmax"][place : place + 2] for place in (1, 3, 5)}) == 1


def test_contrast_by_hand():
    """White on black is 1.05 / 0.05; of #808080, with luminance 0.2159, 1.05 / 0.2659."""
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#808080", "#ffffff") == pytest.approx(3.949, abs=1e-3)


@pytest.mark.parametrize("page", [PAPER, DARK_PAGE])
def test_hues_stand_out_from_paper_and_page(page: str):
    assert min(contrast(hue, page) for hue in HUES.values()) >= 3


@pytest.mark.parametrize("page", [PAPER, DARK_PAGE])
def test_shades_stand_out_less_but_do(page: str):
    rows = [f"{method} (a={number})" for method in HUES for number in range(9)]
    assert min(contrast(color, page) for color in method_colors(rows).values()) >= 2


def test_a_method_has_its_hue_whatever_else_is_in_the_report():
    assert method_colors(HUES) == dict(sorted(HUES.items()))
    for method, hue in HUES.items():
        assert method_colors([method]) == {method: hue}
        assert method_colors([method, "other", f"{method} (a=1)"])[method] == hue


@pytest.mark.parametrize("row", ["gll (tau=0.01)", "gll + parseval", "gll + parseval (gll.k=5)"])
def test_a_single_row_of_a_method_has_its_hue(row: str):
    assert method_colors([row, "softmax"])[row] == HUES["gll"]


def test_a_term_alone_has_the_hue_of_the_term():
    assert method_colors(["sparse_manifold (gamma=1)"]).popitem()[1] == HUES["sparse_manifold"]


def test_rows_of_a_method_are_darker_and_lighter():
    shades = method_colors(["gll", "gll (tau=0.01)", "gll + parseval"])
    lightness = [oklab(color, "all")[0] for color in shades.values()]
    assert np.ptp(lightness) > 0.25
    assert min(abs(np.subtract(*pair)) for pair in combinations(lightness, 2)) > 0.1


def test_other_names_take_the_hues_of_absent_methods():
    labels = ["GNN, BO", "Laplacian, BO"]
    colors = method_colors([*labels, "softmax", "gll"])
    assert len(set(colors.values())) == 4
    assert {colors[label] for label in labels} <= set(HUES.values())


@given(st.sets(st.sampled_from([*HUES, "a", "b", "c + d"]), max_size=9), st.integers(0, 9))
def test_all_rows_differ_in_colour_and_rows_of_a_hue_in_marker(heads: set[str], variants: int):
    rows = [*heads, *(f"{head} (a={number})" for head in heads for number in range(variants))]
    styles = method_styles(reversed(rows))
    assert list(styles) == sorted(rows)
    assert styles == method_styles(rows)
    assert len({style["color"] for style in styles.values()}) == len(rows)
    for head in heads:
        own = [style["marker"] for row, style in styles.items() if f"{row} ".startswith(f"{head} ")]
        assert len(set(own)) == min(len(own), len(MARKERS))


def test_categories_repeat_after_ten():
    colors = category_colors(12)
    assert len(set(colors)) == 10
    assert colors[:2] == colors[10:]
