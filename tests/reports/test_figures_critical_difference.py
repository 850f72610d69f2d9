"""The critical-difference diagram shows mean ranks and what is told apart."""

import itertools

import numpy as np
import pandas as pd
import pytest
from make_frames import plain_frame
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from read_figures import drawn, line, texts

from lapbench.reports.figures.critical_difference import describe, draw
from lapbench.reports.results import Results

METHODS = ["gll", "softmax", "svm", "wnll"]


def results(sets: int, methods: list[str], trainings: tuple[str, ...] = ("natural",)) -> Results:
    """Two repetitions of methods that have the same order on all data sets, best first."""
    values = {method: [0.9 - 0.1 * n, 0.91 - 0.1 * n] for n, method in enumerate(methods)}
    frames = [
        plain_frame(f"set {number}", **values).assign(training=training)
        for number in range(sets)
        for training in trainings
    ]
    return Results(pd.concat(frames), lambda _: {}, lambda _: {})


def diagram(given: Results) -> tuple[Figure, Axes]:
    figure = drawn(draw(given))
    return figure, figure.axes[0]


def bars(ax: Axes) -> list[tuple[float, float, float]]:
    """Where the thick lines begin and end, and their height, from left to right."""
    lines = [each for each in ax.get_lines() if each.get_linewidth() > 2]
    return sorted((*each.get_xdata(), each.get_ydata()[0]) for each in lines)


def feet_of(given: Results, ax: Axes) -> list[float]:
    """Where the lines of the methods stand on the axis."""
    return [float(line(ax, given.colors()[method]).get_xdata()[0]) for method in METHODS]


def test_methods_stand_at_their_mean_ranks_best_first():
    given = results(7, METHODS)
    _, ax = diagram(given)
    feet = feet_of(given, ax)
    assert np.diff(feet) == pytest.approx([feet[1] - feet[0]] * 3)
    assert feet[1] > feet[0]
    named = {text for text in texts(ax) if "  " in text}
    assert named == {"gll  1.00", "softmax  2.00", "3.00  svm", "4.00  wnll"}


def test_bars_join_what_is_not_told_apart():
    """CD = 1.77 between ranks 1, 2, 3 and 4: neighbours only."""
    given = results(7, METHODS)
    _, ax = diagram(given)
    feet = feet_of(given, ax)
    assert "CD = 1.77" in texts(ax)
    result = bars(ax)
    assert len(result) == 3
    assert result[0][2] == result[2][2] != result[1][2]
    for (first, last), ends in zip(itertools.pairwise(feet), result, strict=True):
        assert first - 0.1 < ends[0] < first < last < ends[1] < last + 0.1


def test_where_friedman_rejects_nothing_one_bar_joins_all():
    given = results(10, METHODS)
    random = np.random.default_rng(1).uniform(size=len(given.records))
    shuffled = Results(given.records.assign(value=random), given.arrays, given.curves)
    figure, ax = diagram(shuffled)
    feet = feet_of(given, ax)
    (ends,) = bars(ax)
    assert ends[0] < min(feet) < max(feet) < ends[1]
    assert "does not reject" in " ".join(figure.get_supxlabel().split())


@pytest.mark.parametrize(("sets", "title"), [(9, " (low power: N = 9)"), (10, "")])
def test_low_power_is_marked(sets: int, title: str):
    _, ax = diagram(results(sets, METHODS))
    assert ax.get_title("left") == f"natural training{title}"


def test_the_caption_gives_sizes_and_test():
    figure, _ = diagram(results(3, METHODS))
    caption = " ".join(figure.get_supxlabel().split())
    assert "N = 3 data sets, k = 4 methods" in caption
    assert "F(3, 6) = ∞, p = 0.0017" in caption
    assert "Low power" in caption


def test_each_kind_of_training_has_a_diagram():
    figure, _ = diagram(results(3, METHODS, ("natural", "pgd")))
    assert [ax.get_title("left").split()[0] for ax in figure.axes] == ["natural", "pgd"]


@pytest.mark.parametrize(("sets", "methods"), [(2, 4), (9, 2), (0, 4)])
def test_too_few_give_no_figure(sets: int, methods: int):
    given = results(9, METHODS[:methods])
    few = given.records[given.records["task"].isin([f"set {number}" for number in range(sets)])]
    assert draw(Results(few, given.arrays, given.curves)) is None


def test_many_methods_and_hostile_names_are_drawn():
    names = [f"{number} $x" + 10_000 * "y" for number in range(40)]
    figure, ax = diagram(results(12, names))
    assert figure.get_figwidth() == pytest.approx(7.1)
    assert max(map(len, texts(ax))) < 40


def test_words_name_the_mean_ranks():
    assert "gll 1.00, softmax 2.00, svm 3.00, wnll 4.00" in describe(results(3, METHODS))
