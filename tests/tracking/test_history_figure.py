"""Figures of a history show every run, failures as such, and where numbers cannot be compared."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from make_results import Number, accuracy, past
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from read_figures import drawn, texts

from lapbench.reports.colors import method_styles
from lapbench.reports.style import paper
from lapbench.reports.tracking.history import changes, points
from lapbench.reports.tracking.history_figure import LOWEST, draw

STYLES = method_styles(["softmax", "gll"])


def figure(records: pd.DataFrame, metric: str = "accuracy") -> Figure:
    """The figure of a metric."""
    runs = records.drop_duplicates("run")[["run", "commit", "started"]]
    with paper():
        sheet = draw(points(records, metric), changes(records), runs, STYLES)
    return drawn(sheet)


def panel(records: pd.DataFrame, metric: str = "accuracy", number: int = 0) -> Axes:
    return figure(records, metric).axes[number]


def lines(ax: Axes, method: str) -> list[Line2D]:
    """The line of a method, its hollow marks, and its crosses."""
    color = to_rgb(STYLES[method]["color"])
    return [line for line in ax.get_lines() if to_rgb(line.get_color()) == color]


def height(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata(), float).tolist()


def labels(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_xticklabels() if label.get_text()]


def test_changes_are_lines_between_runs_with_initial_letters_in_the_panel_of_their_task():
    def about(run: int) -> dict[str, Any]:
        return {"torch": "2.14.0", "processor": "fast"} if run else {}

    records = past(accuracy, tasks=("digits", "moons"), about=about)
    new = (records["task"] == "moons") & (records["run"] == "run2")
    records.loc[new, "data"] = "other"
    first, second = figure(records).axes
    (line,) = (line for line in first.get_lines() if line.get_color() == "black")
    assert list(line.get_xdata()) == [0.5, 0.5]
    assert (texts(first), texts(second)) == (["PT"], ["PT", "D"])


class TestFigure:
    def test_lines_are_those_of_the_points_in_percent_in_the_colours_of_the_methods(self):
        ax = panel(past(accuracy))
        line, hollow, crosses = lines(ax, "gll")
        assert height(line) == pytest.approx([91, 90, 89])
        assert line.get_marker() == STYLES["gll"]["marker"]
        assert height(hollow) == height(crosses) == []
        assert ax.get_ylabel() == "accuracy [%]"
        assert ax.get_title("left") == "digits, mlp, natural training"

    @pytest.mark.parametrize(
        ("lost", "heights"), [((0, 1), [91, np.nan, 89]), ((1,), [91, 89, 89])]
    )
    def test_a_failure_is_a_gap_or_a_hollow_mark_and_a_cross(
        self, lost: tuple[int, ...], heights: list[float]
    ):
        def numbers(run: int, method: str, repetition: int) -> list[Number]:
            failed = run == 1 and method == "gll" and repetition in lost
            return [("accuracy", None)] if failed else accuracy(run, method, repetition)

        line, hollow, crosses = lines(panel(past(numbers)), "gll")
        assert height(line) == pytest.approx(heights, nan_ok=True)
        assert height(hollow) == pytest.approx(heights[1:2], nan_ok=True)
        assert hollow.get_markerfacecolor() == "white"
        assert np.round(np.asarray(crosses.get_xdata(), float)).tolist() == [1]
        assert crosses.get_marker() == "x"

    def test_ratios_and_gradient_errors_have_logarithmic_axes_and_zero_is_drawn(self):
        values = {"softmax": 0.0, "gll": 1e-9}
        records = past(lambda run, method, repetition: [("gradient_error", values[method])])
        ax = panel(records, "gradient_error")
        assert ax.get_ylabel() == "gradient error"
        assert ax.get_yscale() == "log"
        assert height(lines(ax, "softmax")[0]) == [LOWEST] * 3

    @pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.1, 1.4), (1.0, 30.0)])
    def test_logarithmic_axes_have_several_numbers(self, low: float, high: float):
        values = {"softmax": low, "gll": high}
        stage = "stage_ratio: solve"
        ax = panel(past(lambda run, method, _: [(stage, values[method])]), "stage_ratio")
        assert ax.get_title("left") == "digits, mlp, natural training, solve"
        bottom, top = ax.get_ylim()
        assert sum(bottom <= tick <= top for tick in ax.get_yticks()) >= 2

    @pytest.mark.parametrize("runs", [1, 3, 12, 13, 50])
    def test_labels_of_runs_never_overlap_and_the_last_is_named(self, runs: int):
        sheet = figure(past(accuracy, runs=runs, tasks=("digits", "moons", "club")))
        renderer = FigureCanvasAgg(sheet).get_renderer()
        for ax in sheet.axes:
            shown = [label for label in ax.get_xticklabels() if label.get_text()]
            boxes = sorted(label.get_window_extent(renderer).intervalx.tolist() for label in shown)
            assert all(left[1] < right[0] for left, right in pairwise(boxes))
        assert f"{runs - 1:07x}" in labels(sheet.axes[-1])
        assert len(labels(sheet.axes[-1])) >= min(runs, 20)

    def test_labels_are_short_commits_with_a_plus_for_changes(self):
        def about(run: int) -> dict[str, Any]:
            return {"commit": "abcdef0123456789+" if run else "unknown (no git)"}

        assert labels(panel(past(accuracy, runs=2, about=about))) == ["abcdef0+", "unknown"]

    def test_one_run_and_one_repetition_are_drawn(self):
        ax = panel(past(accuracy, runs=1, repetitions=1))
        assert height(lines(ax, "gll")[0]) == pytest.approx([90])
