"""Figures of a history show every run, failures as such, and where numbers cannot be compared."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from panels import drawn, texts
from past_runs import Number, accuracy, past

from lapbench.reports.colors import method_styles
from lapbench.reports.style import paper, save
from lapbench.reports.tracking.history import changes, points
from lapbench.reports.tracking.history_figure import LOWEST, draw

STYLES = method_styles(["softmax", "gll"])


def figure(records: pd.DataFrame, metric: str = "accuracy") -> Figure | None:
    """The figure of a metric."""
    runs = records.drop_duplicates("run")[["run", "commit", "started"]]
    with paper():
        return draw(points(records, metric), changes(records), runs, STYLES)


def panel(records: pd.DataFrame, metric: str = "accuracy", number: int = 0) -> Axes:
    return drawn(figure(records, metric)).axes[number]


def lines(ax: Axes, method: str) -> list[Line2D]:
    """The line of a method, its hollow marks, and its crosses."""
    color = to_rgb(STYLES[method]["color"])
    return [line for line in ax.get_lines() if to_rgb(line.get_color()) == color]


def height(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata(), float).tolist()


def labels(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_xticklabels() if label.get_text()]


class TestChanges:
    def test_they_are_lines_between_runs_and_named_in_the_caption(self):
        def about(run: int) -> dict[str, Any]:
            return {"torch": "2.14.0", "processor": "fast"} if run else {}

        sheet = drawn(figure(past(accuracy, about=about)))
        ax = sheet.axes[0]
        (line,) = (line for line in ax.get_lines() if line.get_color() == "black")
        assert list(line.get_xdata()) == [0.5, 0.5]
        assert texts(ax) == ["PT"]
        said = " ".join(sheet.get_supxlabel().split())
        assert "0000001 (processor: slow → fast), 0000001 (torch: 2.13.0 → 2.14.0)." in said

    def test_without_any_the_caption_does_not_speak_of_them(self):
        assert "comparable" not in drawn(figure(past(accuracy))).get_supxlabel()

    def test_data_are_marked_in_the_panel_of_their_task(self):
        records = past(accuracy, tasks=("digits", "moons"))
        new = (records["task"] == "moons") & (records["run"] == "run2")
        records.loc[new, "data"] = "other"
        assert texts(panel(records, number=0)) == []
        assert texts(panel(records, number=1)) == ["D"]


class TestFigure:
    def test_there_is_no_figure_of_what_no_run_has(self):
        assert figure(past(accuracy), "step_ratio") is None

    def test_each_stage_has_a_panel(self):
        stages: list[Number] = [("stage_ratio: solve", 2.0), ("stage_ratio: backward", 3.0)]
        sheet = drawn(figure(past(lambda *_: stages), "stage_ratio"))
        assert [ax.get_title("left") for ax in sheet.axes] == [
            "digits, mlp, natural training, solve",
            "digits, mlp, natural training, backward",
        ]

    def test_lines_are_those_of_the_points_in_percent_in_the_colours_of_the_methods(self):
        ax = panel(past(accuracy))
        line, hollow, crosses = lines(ax, "gll")
        assert height(line) == pytest.approx([91, 90, 89])
        assert line.get_marker() == STYLES["gll"]["marker"]
        assert height(hollow) == height(crosses) == []
        assert ax.get_ylabel() == "accuracy [%]"
        assert ax.get_title("left") == "digits, mlp, natural training"

    def test_a_failure_is_a_gap_and_a_cross_not_an_interpolated_line(self):
        def numbers(run: int, method: str, repetition: int) -> list[Number]:
            failed = run == 1 and method == "gll"
            return [("accuracy", None)] if failed else accuracy(run, method, repetition)

        line, _, crosses = lines(panel(past(numbers)), "gll")
        assert height(line) == pytest.approx([91, np.nan, 89], nan_ok=True)
        assert np.round(np.asarray(crosses.get_xdata(), float)).tolist() == [1]
        assert crosses.get_marker() == "x"

    def test_a_run_with_some_repetitions_is_hollow_and_has_a_cross(self):
        def numbers(run: int, method: str, repetition: int) -> list[Number]:
            failed = run == 1 and repetition == 1
            return [("accuracy", None)] if failed else accuracy(run, method, repetition)

        line, hollow, crosses = lines(panel(past(numbers)), "gll")
        assert height(line) == pytest.approx([91, 89, 89])
        assert height(hollow) == pytest.approx([89])
        assert hollow.get_markerfacecolor() == "white"
        assert len(height(crosses)) == 1

    def test_ratios_and_gradient_errors_have_logarithmic_axes_and_zero_is_drawn(self):
        values = {"softmax": 0.0, "gll": 1e-9}
        records = past(lambda run, method, repetition: [("gradient_error", values[method])])
        ax = panel(records, "gradient_error")
        assert ax.get_yscale() == "log"
        assert height(lines(ax, "softmax")[0]) == [LOWEST] * 3

    @pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.1, 1.4), (1.0, 30.0)])
    def test_logarithmic_axes_have_several_numbers(self, low: float, high: float):
        values = {"softmax": low, "gll": high}
        ax = panel(past(lambda run, method, _: [("step_ratio", values[method])]), "step_ratio")
        bottom, top = ax.get_ylim()
        assert sum(bottom <= tick <= top for tick in ax.get_yticks()) >= 2

    @pytest.mark.parametrize("runs", [1, 3, 9, 12, 13, 50])
    def test_labels_of_runs_never_overlap_and_the_last_is_named(self, runs: int):
        sheet = drawn(figure(past(accuracy, runs=runs, tasks=("digits", "moons", "club"))))
        renderer = FigureCanvasAgg(sheet).get_renderer()
        for ax in sheet.axes:
            shown = [label for label in ax.get_xticklabels() if label.get_text()]
            boxes = sorted(label.get_window_extent(renderer).intervalx.tolist() for label in shown)
            assert all(left[1] < right[0] for left, right in pairwise(boxes))
        assert f"{runs - 1:07x}" in {label.partition("\n")[0] for label in labels(sheet.axes[-1])}
        assert len(labels(sheet.axes[-1])) >= min(runs, 20)

    def test_labels_are_short_commits_with_a_plus_for_changes_and_dates_where_they_fit(self):
        def about(run: int) -> dict[str, Any]:
            return {"commit": "abcdef0123456789+" if run else "unknown (no git)"}

        assert labels(panel(past(accuracy, runs=2, about=about))) == [
            "abcdef0+\n2026-01-02",
            "unknown\n2026-01-01",
        ]
        assert labels(panel(past(accuracy, runs=40)))[0] == f"{39:07x}"

    def test_one_run_and_one_repetition_are_drawn(self):
        ax = panel(past(accuracy, runs=1, repetitions=1))
        assert height(lines(ax, "gll")[0]) == pytest.approx([90])

    def test_the_same_figure_has_the_same_bytes(self, tmp_path: Path):
        found = []
        for name in ("one", "other"):
            sheet = figure(past(accuracy))
            assert sheet is not None
            found.append([file.read_bytes() for file in save(sheet, tmp_path, name)])
        assert found[0] == found[1]
