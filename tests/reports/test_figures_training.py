"""Figures of what happened in training show the means and spreads of what was stored."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import make_frames
import numpy as np
import pytest
from matplotlib.figure import Figure
from read_figures import drawn, legend, line, titles

from lapbench.reports.figures import gll_fig4, smoothness_fig3
from lapbench.reports.results import Results

Curves = Mapping[str, list[float | None]]


def results(methods: list[str], **more: Any) -> Results:
    """Two repetitions of every method; keys are task/training/method/repetition."""
    return make_frames.results(lambda *_: [], methods=methods, **more)


class TestSmoothness:
    STORED = {  # noqa: RUF012
        "digits/natural/gll/0": {
            "smoothness_1": np.array([[4.0, 2], [2, 2]]),
            "labels": np.zeros(3),
        },
        "digits/natural/gll/1": {"smoothness_1": np.array([[1.0, 1], [1, 1]])},
        "digits/natural/softmax/0": {
            "smoothness_1": np.array([[9.0, 8, 7]]),
            "smoothness_10": np.array([[90.0, 80, 70]]),
            "smoothness_2": np.array([[30.0, 20, 0]]),
        },
    }

    @classmethod
    @cache
    def figure(cls) -> tuple[Figure, Results]:
        given = results(["softmax", "gll", "failed"], arrays=lambda key: cls.STORED.get(key, {}))
        return drawn(smoothness_fig3.draw(given)), given

    def test_line_is_the_mean_and_band_the_range_of_repetitions(self):
        """Means over batches (3, 2) and (1, 1); of both repetitions (2, 1.5)."""
        figure, given = self.figure()
        ax = figure.axes[0]
        depth, mean = line(ax, given.colors()["gll"], "-").get_data()
        assert list(depth) == [1, 2]
        assert list(mean) == [2, 1.5]
        corners = ax.collections[0].get_paths()[0].vertices
        assert {tuple(corner) for corner in corners} == {(1, 3), (2, 2), (1, 1), (2, 1)}

    def test_panels_are_the_powers_in_order_and_methods_without_data_are_left_out(self):
        figure, _ = self.figure()
        assert titles(figure.axes) == [
            "digits, small_cnn, natural training\n$m$ = 1",
            "$m$ = 2",
            "$m$ = 10",
        ]
        assert [len(ax.get_lines()) for ax in figure.axes] == [2, 1, 1]
        assert all(ax.get_yscale() == "log" for ax in figure.axes)
        assert legend(figure) == ["gll", "softmax"]

    def test_tasks_have_rows_of_their_own(self):
        stored = {"smoothness_2": np.ones((3, 4))}
        given = results(["softmax"], arrays=lambda _: stored, tasks=("digits", "letters"))
        axes = drawn(smoothness_fig3.draw(given)).axes
        assert [ax.get_title("left").partition(",")[0] for ax in axes] == ["digits", "letters"]

    def test_smoothness_of_zero_alone_is_drawn_on_a_linear_axis(self):
        given = results(["softmax"], arrays=lambda _: {"smoothness_1": np.zeros((2, 3))})
        assert drawn(smoothness_fig3.draw(given)).axes[0].get_yscale() == "linear"

    def test_no_stored_smoothness_gives_no_figure(self):
        assert (
            smoothness_fig3.draw(results(["gll"], arrays=lambda _: {"labels": np.zeros(3)})) is None
        )


class TestGLLFigure4:
    @staticmethod
    def curves(key: str) -> Curves:
        """Softmax that follows the graph layer in every other epoch, and GLL after pretraining."""
        task, _, method, repetition = key.split("/")
        more = 0.2 * int(repetition)
        if task == "letters" or method == "failed":
            return {}
        if method == "softmax":
            return {
                "training_loss": [2.0 + more, 1.0 + more, 0.5 + more, 0.3],
                "validation_accuracy": [0.3, 0.5, 0.6, 0.7],
                "gll_loss": [1.0, None, None, 0.5 + more],
                "gll_validation_accuracy": [0.6 + more, None, 0.7, None],
            }
        return {
            "training_loss": [1.0, 0.0, 0.1],
            "validation_accuracy": [0.5, None, 0.9],
            "gll_loss": [None, None, None],
            "softmax_loss": [2.0, 1.0, None],
        }

    @classmethod
    @cache
    def figure(cls) -> tuple[Figure, Results]:
        given = results(
            ["softmax", "gll", "failed"], curves=cls.curves, tasks=("digits", "letters")
        )
        return drawn(gll_fig4.draw(given)), given

    def test_curves_are_means_over_repetitions_against_epochs(self):
        figure, given = self.figure()
        loss, accuracy = figure.axes
        softmax = given.colors()["softmax"]
        epochs, values = line(loss, softmax, "-").get_data()
        assert list(epochs) == [1, 2, 3, 4]
        assert list(values) == pytest.approx([2.1, 1.1, 0.6, 0.3])
        assert line(loss, softmax, "-").get_markevery() == [False] * 4
        percent = line(accuracy, softmax, "-").get_ydata()
        assert list(percent) == pytest.approx([30, 50, 60, 70])

    def test_other_classifiers_are_dashed_and_values_between_gaps_are_marked(self):
        figure, given = self.figure()
        loss, accuracy = figure.axes
        colors = given.colors()
        dashed = line(accuracy, colors["softmax"], "--")
        np.testing.assert_allclose(dashed.get_ydata(), [70, np.nan, 70, np.nan])
        assert dashed.get_markevery() == [True, False, True, False]
        assert list(line(loss, colors["gll"], "-.").get_ydata())[:2] == [2, 1]
        assert len(loss.get_lines()) == 4

    def test_legend_names_what_is_drawn(self):
        figure, _ = self.figure()
        classifiers = ["its own", "gll on its features", "softmax on its features"]
        named = [f"classifier: {name}" for name in classifiers]
        assert legend(figure) == ["gll", "softmax", *named]
        assert [ax.get_ylabel() for ax in figure.axes] == [
            "training loss",
            "validation accuracy [%]",
        ]

    def test_a_repetition_without_an_epoch_does_not_count_there(self):
        mean = gll_fig4.mean_over_repetitions([[1.0, None, None], [3.0, 5.0], [None, 7.0, None]])
        np.testing.assert_allclose(mean, [2, 6, np.nan])

    @pytest.mark.parametrize("gll", [{}, {"gll_loss": []}, {"gll_loss": [None, None]}])
    def test_no_gll_curve_gives_no_figure(self, gll: Curves):
        plain = {"training_loss": [1.0, 0.5], "validation_accuracy": [0.5, 0.6], **gll}
        assert gll_fig4.draw(results(["softmax"], curves=lambda _: plain)) is None
