"""The figure of accuracies shows repetitions, means, intervals, and published values as such."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from make_frames import plain_frame
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from read_figures import drawn

from lapbench.reports.colors import HUES
from lapbench.reports.figures import accuracy, gll_fig5
from lapbench.reports.published import COLUMNS
from lapbench.reports.results import Results
from lapbench.reports.statistics.tests import interval
from lapbench.reports.style import COLUMN, PAGE

VALUES = {"softmax": [0.90, 0.92, 0.94], "gll": [0.97, 0.98, 0.99]}


def results(tasks: int = 1, published: pd.DataFrame | None = None, **columns: Any) -> Results:
    """Three repetitions of each method."""
    frames = [plain_frame(f"digits {task}", **VALUES) for task in range(tasks)]
    more = {} if published is None else {"published": published}
    return Results(pd.concat(frames).assign(**columns), lambda _: {}, lambda _: {}, **more)


def published(**columns: Any) -> pd.DataFrame:
    """What a paper says of GLL."""
    names = {"task": "digits 0", "backbone": "mlp", "training": "natural", "method": "gll"}
    number = {"attack": "", "norm": "", "parameter": "", "level": 0.0, "metric": "accuracy"}
    row = {**names, **number, "published": 0.96, "source": "GLL, table 4", **columns}
    return pd.DataFrame([row], columns=COLUMNS)


def panel(given: Results) -> Axes:
    return drawn(accuracy.draw(given)).axes[0]


def test_points_are_repetitions_of_the_best_method_first():
    ax = panel(results())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["gll", "softmax"]
    points = ax.collections[0]
    np.testing.assert_allclose(
        points.get_offsets(), [[97, 0], [98, 0], [99, 0], [90, 1], [92, 1], [94, 1]]
    )
    assert [to_hex(color) for color in points.get_facecolors()[::3]] == [
        HUES["gll"],
        HUES["softmax"],
    ]


def test_diamonds_are_means_and_bars_t_intervals():
    ax = panel(results())
    bars, means = ax.collections[1:3]
    np.testing.assert_allclose(means.get_offsets(), [[98, 0], [92, 1]])
    expected = [interval([97, 98, 99]), interval([90, 92, 94])]
    result = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert result == [pytest.approx([each.low, each.high]) for each in expected]


def test_published_values_are_hollow_below_their_row_and_said_to_be_published():
    ax = panel(results(published=published()))
    hollow = ax.collections[3]
    ((x, y),) = hollow.get_offsets()
    assert x == pytest.approx(96)
    assert 0 < y < 0.5
    assert not len(hollow.get_facecolors())
    assert to_hex(hollow.get_edgecolors()[0]) == HUES["gll"]
    assert accuracy.PUBLISHED in " ".join(drawn(ax.figure).get_supxlabel().split("\n"))


@pytest.mark.parametrize(
    "other",
    [{"method": "svm"}, {"task": "letters"}, {"attack": "fgsm"}, {"metric": "outer_accuracy"}],
)
def test_published_values_of_what_was_not_measured_are_left_out(other: dict[str, str]):
    given = results(published=published(**other))
    ax = panel(given)
    assert not len(ax.collections[3].get_offsets())
    assert accuracy.PUBLISHED not in ax.figure.get_supxlabel()


def test_tasks_wrap_into_columns():
    sizes = {}
    for tasks in (1, 2, 7, 13):
        figure = drawn(accuracy.draw(results(tasks)))
        assert len(figure.axes) == tasks
        sizes[tasks] = figure.get_size_inches()
    assert [width for width, _ in sizes.values()] == [COLUMN, PAGE, PAGE, PAGE]
    assert sizes[13][1] < 7 / 4 * 1.2 * sizes[7][1]


def test_published_values_under_attack_stand_hollow_at_their_level():
    attack = {"metric": "robust_accuracy", "attack": "fgsm", "parameter": "epsilon", "level": 0.1}
    given = results(published=published(**{**attack, "level": 0.3}), **attack)
    figure = drawn(gll_fig5.draw(given))
    (hollow,) = (
        line for line in figure.axes[0].get_lines() if line.get_markerfacecolor() == "none"
    )
    assert hollow.get_xydata().tolist() == [[0.3, pytest.approx(96)]]
    assert hollow.get_markeredgecolor() == HUES["gll"]
    assert figure.axes[0].get_xlim()[1] > 0.3
    assert gll_fig5.PUBLISHED in " ".join(figure.get_supxlabel().split("\n"))


def test_published_values_of_attacks_that_were_not_run_are_left_out():
    attack = {"metric": "robust_accuracy", "attack": "fgsm", "parameter": "epsilon", "level": 0.1}
    given = results(published=published(**{**attack, "attack": "ifgsm"}), **attack)
    figure = drawn(gll_fig5.draw(given))
    assert gll_fig5.PUBLISHED not in figure.get_supxlabel()
