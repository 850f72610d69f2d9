"""Figures fit a column, are legible in print, survive hostile names, and say what they need."""

import re
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from make_attacks import images
from make_frames import clean, headline, results, worst
from matplotlib.figure import Figure
from matplotlib.text import Text
from read_figures import drawn

from lapbench.discovery import load, names
from lapbench.reports.about import alternative, needs, title
from lapbench.reports.figures import accuracy, gll_fig5, smoothness_fig4
from lapbench.reports.results import Results
from lapbench.reports.style import COLUMN, PAGE, SMALL, paper, save, shortened, shown

HOSTILE = {"softmax": "<script>" + "a_$x^" * 2000, "gll": "$\\frac{\u202e漢\n\x00_ ]) ("}
SHOWN = ["accuracy", "robustness", "gll-fig5", "gll-fig8", "gll-fig9", "smoothness-fig4"]


def attacked(rename: dict[str, str] | None = None, scale: float = 1.0) -> Results:
    """Results with numbers of all attacks, and attacked images."""
    numbers: list[Any] = [
        clean(0.9 * scale),
        worst(0.1, 0.5 * scale),
        headline(0.1),
        *(("fgsm", "epsilon", level, 1, "robust_accuracy", 0.6 * scale) for level in (0.1, 0.2)),
        ("cw-gll", "c", 1.0, 100, "robust_accuracy", 0.4 * scale),
        ("cw-gll", "c", 1.0, 100, "squared_distance", 0.3 * scale),
        ("gaussian-noise", "snr", 15.0, 0, "robust_accuracy", 0.7 * scale),
    ]
    given = results(lambda *_: numbers, images, trainings=("natural", "pgd"))
    records = given.records.assign(split="test", value=scale * given.records["value"])
    if rename:
        records["method"] = records["method"].map(rename)
        records["task"] = rename["softmax"]
    return Results(records, given.arrays, given.curves)


def texts(figure: Figure) -> list[Text]:
    return [each for each in figure.findobj(Text) if isinstance(each, Text) and each.get_text()]


@pytest.mark.parametrize("name", names("figures"))
def test_docstrings_are_a_title_and_what_a_figure_needs_with_a_suite_to_run(name: str):
    module = load("figures", name)
    assert len(module.__doc__.strip().split("\n\n")) == 2
    assert re.fullmatch(r"[A-Z].*\.", title(module))
    assert needs(module).startswith("Needs: ")
    suites = re.findall(r"`lapbench run ([\w-]+)`", needs(module))
    assert suites
    assert set(suites) <= set(names("suites"))


@pytest.mark.parametrize("name", SHOWN)
class TestFigure:
    def test_it_is_one_or_two_columns_wide_and_legible(self, name: str):
        with paper():
            figure = drawn(load("figures", name).draw(attacked()))
        assert figure.get_figwidth() in (COLUMN, PAGE)
        sizes = [text.get_fontsize() for text in texts(figure)]
        assert min(sizes) >= SMALL
        assert max(sizes) <= 9

    def test_hostile_names_come_out(self, name: str):
        module, given = load("figures", name), attacked(HOSTILE)
        with paper():
            figure = drawn(module.draw(given))
        assert (
            max(len(line) for text in texts(figure) for line in text.get_text().split("\n")) < 160
        )
        assert len(alternative(module, given)) < 1500

    def test_one_repetition_and_numbers_that_are_not_finite_give_no_warning(self, name: str):
        module, given = load("figures", name), attacked()
        for scale in (np.nan, np.inf):
            module.draw(Results(attacked(scale=scale).records, given.arrays, given.curves))
        first = given.records["repetition"] == 0
        mixed = given.records.where(first, attacked(scale=np.nan).records)
        for rows in (mixed, given.records[first]):
            drawn(module.draw(Results(rows, given.arrays, given.curves)))


@pytest.mark.parametrize("module", [accuracy, gll_fig5, smoothness_fig4])
def test_thirty_methods_come_out(module: Any):
    given = attacked()
    rows = given.records[given.records["method"] == "gll"]
    many = [rows.assign(method=f"gll (tau={n})", key=f"{n}" + rows["key"]) for n in range(30)]
    figure = drawn(module.draw(Results(pd.concat(many), given.arrays, given.curves)))
    assert figure.get_figwidth() == PAGE


def test_files_are_svg_pdf_and_png_and_equal_byte_for_byte(tmp_path: Path):
    def write(name: str) -> list[Path]:
        (tmp_path / name).mkdir()
        with paper():
            return save(drawn(accuracy.draw(attacked())), tmp_path / name, "accuracy")

    first = write("first")
    time.sleep(1.1)  # Times of making would be written in seconds.
    second = write("second")
    assert [path.name for path in first] == ["accuracy.svg", "accuracy.pdf", "accuracy.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_fonts_are_embedded_and_text_is_outlined(tmp_path: Path):
    svg, pdf, _ = save(drawn(accuracy.draw(attacked())), tmp_path, "accuracy")
    assert "<text" not in svg.read_text(encoding="utf-8")
    assert b"/FontFile2" in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()


def test_settings_of_the_user_are_left_aside_and_come_back():
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):
        with paper():
            assert mpl.rcParams["font.size"] == 8
            assert mpl.rcParams["axes.facecolor"] == "white"
        assert mpl.rcParams["font.size"] == 31


def test_long_names_lose_their_middle():
    assert shortened("0123456789", 10) == "0123456789"
    assert shortened("0123456789", 6) == "012…89"
    assert len(shortened("x" * 10_000)) == 48


def test_names_are_no_formulas_and_have_only_letters_of_the_font():
    assert shown("a$b$") == r"a\$b\$"
    assert shown("ε\n\u202e漢") == "ε□□□"


class TestAlternative:
    def test_accuracies_are_listed_highest_first(self):
        given = attacked()
        raised = given.records["value"].where(given.records["method"] != "gll", 0.9951)
        said = alternative(
            accuracy, Results(given.records.assign(value=raised), *[lambda _: {}] * 2)
        )
        assert said == (
            "Mean accuracy, highest first. digits, small_cnn, natural training: gll 99.5 %, "
            "softmax 99.0 %. digits, small_cnn, pgd training: gll 99.5 %, softmax 99.0 %."
        )

    def test_worst_cases_are_those_of_the_headline(self):
        said = alternative(load("figures", "robustness"), attacked())
        assert "natural training, at ε = 0.1: gll 50.0 %, softmax 50.0 %." in said

    def test_others_have_their_title_and_caption(self):
        said = alternative(gll_fig5, attacked())
        assert said == f"{title(gll_fig5)} {gll_fig5.CAPTION}"
