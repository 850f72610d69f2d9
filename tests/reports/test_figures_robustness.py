"""Figures of attacks show means and intervals after the last step."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from make_frames import Metric, clean, headline, results, worst
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from read_figures import drawn, legend, line, texts, titles

from lapbench.reports.figures import gll_fig5, gll_fig8, robustness, smoothness_fig4
from lapbench.reports.results import Results
from lapbench.reports.statistics.tests import interval


def ends(ax: Axes, color: Any) -> list[list[float]]:
    """The lower and upper ends of the bars of a colour."""
    (result,) = (lines for lines in ax.collections if to_rgb(lines.get_color()[0]) == to_rgb(color))
    return [segment[:, 1].tolist() for segment in result.get_segments()]


class TestWorstCase:
    @staticmethod
    def numbers(cell: str, repetition: int) -> list[Metric]:
        loss = 0.1 * repetition
        if cell.endswith("gll"):
            return [clean(0.9 - loss), worst(0.1, 0.7 - loss), worst(1.0, 0.0), headline(0.1)]
        return [clean(1.0), worst(0.1, 0.2), worst(1.0, 0.0), headline(0.1)]

    @classmethod
    @cache
    def figure(cls, **more: Any) -> tuple[Figure, Results]:
        given = results(cls.numbers, **more)
        return drawn(robustness.draw(given)), given

    def test_lines_are_means_from_no_attack_on_and_bars_t_intervals(self):
        figure, given = self.figure()
        gll = line(figure.axes[0], given.colors()["gll"])
        assert list(gll.get_xdata()) == [0, 0.1, 1]
        assert list(gll.get_ydata()) == pytest.approx([85, 65, 0])
        first, *_, last = ends(figure.axes[0], given.colors()["gll"])
        expected = interval([90, 80])
        assert first == pytest.approx([expected.low, expected.high])
        assert last == [0, 0]

    def test_one_repetition_has_bars_without_length(self):
        given = results(self.numbers)
        one = Results(given.records[given.records["repetition"] == 0], given.arrays, given.curves)
        figure = drawn(robustness.draw(one))
        bars = np.array(ends(figure.axes[0], given.colors()["gll"]))
        np.testing.assert_allclose(bars, [[90, 90], [70, 70], [0, 0]])

    def test_axes_name_what_they_show_and_mark_the_headline(self):
        figure, _ = self.figure()
        ax = figure.axes[0]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("ε (ℓ∞)", "worst-case accuracy [%]")
        assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.1", "1"]
        assert list(line(ax, "black").get_xdata()) == [0.1, 0.1]
        low, high = ax.get_xlim()
        assert low < 0
        assert high > 1
        assert legend(figure) == ["gll", "softmax"]

    def test_columns_are_trainings_and_rows_tasks_and_what_is_missing_is_blank(self):
        given = results(
            lambda cell, repetition: (
                [] if cell.startswith("letters/pgd") else self.numbers(cell, repetition)
            ),
            trainings=("natural", "pgd"),
            tasks=("digits", "letters"),
        )
        axes = drawn(robustness.draw(given)).axes
        assert titles(axes) == [
            "digits, small_cnn, natural training",
            "digits, small_cnn, pgd training",
            "letters, small_cnn, natural training",
        ]
        assert [ax.axison for ax in axes] == [True, True, True, False]

    def test_no_worst_case_gives_no_figure(self):
        assert robustness.draw(results(lambda *_: [clean(1.0)])) is None


class TestGLLFigure5:
    @staticmethod
    def numbers(cell: str, repetition: int) -> list[Metric]:
        """IFGSM at ε = 0.2 after 5, 10 and 20 steps; GLL was not attacked by CW."""
        del repetition
        result: list[Metric] = [
            clean(0.9),
            ("ifgsm", "epsilon", 0.1, 5, "robust_accuracy", 0.6),
            ("ifgsm", "epsilon", 0.2, 20, "robust_accuracy", 0.3),
            ("ifgsm", "epsilon", 0.2, 5, "robust_accuracy", 0.5),
            ("ifgsm", "epsilon", 0.2, 20, "distance", 7.0),
        ]
        if cell == "digits/natural/softmax":
            result += [("cw-gll", "c", c, 100, "robust_accuracy", 0.1 / c) for c in (1.0, 10.0)]
        return result

    @classmethod
    @cache
    def figure(cls, **more: Any) -> tuple[Figure, Results]:
        given = results(cls.numbers, **more)
        return drawn(gll_fig5.draw(given)), given

    def test_it_is_the_last_step_that_is_drawn(self):
        figure, given = self.figure()
        softmax = line(figure.axes[0], given.colors()["softmax"])
        assert list(softmax.get_xdata()) == [0, 0.1, 0.2]
        assert list(softmax.get_ydata()) == pytest.approx([90, 60, 30])

    def test_attacks_that_were_never_run_have_no_column_and_c_is_logarithmic(self):
        figure, given = self.figure()
        ifgsm, cw = figure.axes
        assert ifgsm.get_title("left") == "digits, small_cnn, natural training\nIFGSM"
        assert cw.get_title("left") == "CW"
        assert (ifgsm.get_xlabel(), cw.get_xlabel()) == ("ε", "c")
        assert (ifgsm.get_xscale(), cw.get_xscale()) == ("linear", "symlog")
        assert ifgsm.get_xlim()[0] < 0 < 0.2 < ifgsm.get_xlim()[1]
        assert list(line(cw, given.colors()["softmax"]).get_xdata()) == [0, 1, 10]

    def test_an_attack_that_one_training_lacks_is_said_not_to_be_run(self):
        figure, _ = self.figure(trainings=("natural", "pgd"))
        assert [texts(ax) for ax in figure.axes] == [[], [], [], ["not run"]]

    def test_a_method_that_was_not_attacked_has_no_line(self):
        figure, given = self.figure()
        cw = figure.axes[1]
        assert len(line(cw, given.colors()["softmax"]).get_xdata()) == 3
        assert len(line(cw, given.colors()["gll"]).get_xdata()) == 0

    def test_none_of_its_attacks_gives_no_figure(self):
        other: Metric = ("pgd", "epsilon", 0.1, 5, "robust_accuracy", 0.6)
        assert gll_fig5.draw(results(lambda *_: [clean(1.0), other])) is None


class TestGLLFigure8:
    @staticmethod
    def numbers(cell: str, repetition: int) -> list[Metric]:
        """Distances fall from c = 10 on, and so do accuracies."""
        del cell
        return [
            ("cw-gll", "c", c, 100, metric, value)
            for c, distance, accuracy in ((1.0, 0.5, 0.8), (10.0, 2.0, 0.5), (100.0, 1.5, 0.4))
            for metric, value in (
                ("squared_distance", distance + repetition),
                ("robust_accuracy", accuracy - 0.2 * repetition),
            )
        ]

    def test_points_are_means_in_the_order_of_c(self):
        given = results(self.numbers)
        (ax,) = drawn(gll_fig8.draw(given)).axes
        distance, accuracy = line(ax, given.colors()["gll"]).get_data()
        assert list(distance) == pytest.approx([1, 2.5, 2])
        assert list(accuracy) == pytest.approx([70, 40, 30])
        assert ax.get_ylabel() == "accuracy [%]"
        sizes = ax.collections[0].get_sizes()
        assert list(sizes) == sorted(set(sizes))

    def test_panels_are_trainings(self):
        given = results(self.numbers, trainings=("natural", "pgd"), tasks=("digits", "letters"))
        assert len(drawn(gll_fig8.draw(given)).axes) == 4

    def test_no_attack_of_its_name_gives_no_figure(self):
        assert gll_fig8.draw(results(lambda *_: [clean(1.0)])) is None


class TestPerturbations:
    @staticmethod
    def numbers(cell: str, repetition: int) -> list[Metric]:
        """GLL was not quantised; DeepFool leaves it 30 %."""
        is_gll = cell.endswith("gll")
        result: list[Metric] = [
            clean(0.9),
            ("gaussian-noise", "snr", 15.0, 0, "robust_accuracy", 0.6 + 0.1 * repetition),
            ("gaussian-noise", "snr", 15.0, 0, "snr", 15.0),
            ("gaussian-noise", "snr", 20.0, 0, "robust_accuracy", 0.8),
            ("neuron-dropout", "share", 0.25, 0, "robust_accuracy", 0.5),
            ("deepfool", "", 0.0, 30, "robust_accuracy", 0.3 if is_gll else 0.0),
            ("deepfool", "", 0.0, 30, "fooling_distance", 2.0 + repetition),
            ("deepfool", "", 0.0, 30, "distance", 1.0),
            ("pgd", "epsilon", 0.1, 5, "robust_accuracy", 0.1),
            ("pgd", "epsilon", 0.1, 5, "fooling_distance", 0.1),
        ]
        if not is_gll:
            result.append(("weight-quantization", "bits", 5.0, 0, "robust_accuracy", 0.7))
        return result

    @classmethod
    @cache
    def axes(cls) -> dict[str, Axes]:
        figure = drawn(smoothness_fig4.draw(results(cls.numbers)))
        return {ax.get_title("left"): ax for ax in figure.subfigs[0].axes if ax.axison}

    def test_panels_are_perturbations_at_each_level_and_distances(self):
        assert list(self.axes()) == [
            "not attacked",
            "gaussian-noise\nSNR 15 dB",
            "gaussian-noise\nSNR 20 dB",
            "neuron-dropout\n25 %",
            "deepfool",
            "weight-quantization\n5 bits",
        ]

    def test_points_are_repetitions_in_percent_a_row_a_method(self):
        ax = self.axes()["gaussian-noise\nSNR 15 dB"]
        gll, softmax = (points.get_offsets() for points in ax.collections)
        np.testing.assert_allclose(gll, [[60, 0], [70, 0]])
        np.testing.assert_allclose(softmax, [[60, 1], [70, 1]])
        assert ax.get_xlabel() == "accuracy [%]"
        assert ax.yaxis_inverted()

    def test_methods_are_named_at_the_left_alone_and_boxes_have_the_median(self):
        names = [[text.get_text() for text in ax.get_yticklabels()] for ax in self.axes().values()]
        assert names == [["gll", "softmax"], [], []] * 2
        lines = self.axes()["gaussian-noise\nSNR 15 dB"].get_lines()
        medians = [line.get_xdata().tolist() for line in lines if line.get_linewidth() == 1.6]
        assert medians == [pytest.approx([65, 65])] * 2

    def test_distances_have_the_share_that_stayed_right_beside_them(self):
        ax = self.axes()["deepfool"]
        np.testing.assert_allclose(ax.collections[0].get_offsets(), [[2, 0], [3, 0]])
        assert texts(ax) == ["30 %", "0 %"]
        assert "x' - x" in ax.get_xlabel()

    def test_a_method_that_was_not_perturbed_has_an_empty_row(self):
        (points,) = self.axes()["weight-quantization\n5 bits"].collections
        np.testing.assert_allclose(points.get_offsets(), [[70, 1], [70, 1]])

    def test_attacks_in_a_ball_alone_give_no_figure(self):
        in_ball = [clean(1.0), worst(0.1, 0.5)]
        assert smoothness_fig4.draw(results(lambda *_: in_ball)) is None
