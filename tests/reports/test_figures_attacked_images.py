"""Figures of attacked images show what an attack changed, of those that it made wrong."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from make_attacks import images
from make_frames import Metric, clean, headline, results, worst
from matplotlib.axes import Axes
from read_figures import drawn, texts

from lapbench.reports.figures import gll_fig9, wnll_fig10


def image_numbers(*_: Any) -> Iterator[Metric]:
    yield clean(0.75)
    yield from (("fgsm", "epsilon", level, 1, "robust_accuracy", 0.5) for level in (0.05, 0.1))
    yield worst(0.05, 0.5)
    yield worst(0.1, 0.4)
    yield headline(0.05)


def shown(ax: Axes) -> list[np.ndarray[Any, Any]]:
    """The images of a panel, row by row and from the left."""
    result = sorted(
        ax.get_images(), key=lambda image: (image.get_extent()[3], image.get_extent()[0])
    )
    return [np.asarray(image.get_array()) for image in result]


class TestGLLFigure9:
    @staticmethod
    @cache
    def figure(channels: int = 1) -> Axes:
        """Rows: softmax with three images of each of two attacks, and GLL with those of one."""
        given = results(lambda *_: list(image_numbers()), lambda key: images(key, channels))
        (ax,) = drawn(gll_fig9.draw(given)).axes
        return ax

    def test_the_first_image_that_was_right_and_became_wrong_is_shown(self):
        clean_image, difference, attacked = shown(self.figure())[:3]
        np.testing.assert_allclose(clean_image, 0.5)
        np.testing.assert_allclose(attacked, clean_image + difference)
        np.testing.assert_allclose(difference, [[-0.1, 0.1, 0.1], [0.1] * 3, [0.1] * 3])
        assert texts(self.figure())[:4] == ["max 0.1", "5 → 4", "max 0.1", "3 → 9"]

    def test_attacks_have_their_level_and_methods_without_such_an_image_say_so(self):
        ax = self.figure()
        assert ax.get_images()[1].get_clim() == pytest.approx((-0.1, 0.1))
        assert texts(ax)[-2:] == ["fgsm, ε = 0.1", "worst case, ε = 0.05"]
        methods = [label.get_text().split("\n")[0] for label in ax.get_yticklabels()]
        assert methods == ["softmax", "gll"]
        assert texts(ax)[4] == "none\nbecame wrong"
        assert len(shown(ax)) == 6 + 3

    def test_colour_images_show_no_change_as_grey(self):
        original, difference = shown(self.figure(channels=3))[:2]
        np.testing.assert_allclose(original, np.full((3, 3, 3), 2 / 3))
        np.testing.assert_allclose(difference[0, 0], 0)
        np.testing.assert_allclose(difference[1:], 1)

    def test_adversarially_trained_models_and_other_repetitions_are_left_out(self):
        given = results(lambda *_: list(image_numbers()), images, trainings=("natural", "pgd"))
        (ax,) = drawn(gll_fig9.draw(given)).axes
        assert len(ax.get_yticklabels()) == 2


class TestWNLLFigure10:
    @staticmethod
    @cache
    def panels() -> list[Axes]:
        given = results(lambda *_: list(image_numbers()), images)
        return drawn(wnll_fig10.draw(given)).axes

    def test_images_are_those_that_became_wrong_first(self):
        """Images 1 and 3 were right and became wrong; 0 was wrong before, and comes first else."""
        softmax, gll = self.panels()
        assert softmax.get_title("left") == "softmax, digits, small_cnn"
        assert gll.get_title("left") == "gll, digits, small_cnn"
        assert texts(softmax)[::6] == ["7 → 2", "3 → 9", "1 → 0"]

    def test_neighbours_have_their_classes_orange_where_it_is_another(self):
        softmax, _ = self.panels()
        second = softmax.texts[7:12]
        assert [text.get_text() for text in second] == ["7", "3", "5", "1", "0"]
        assert [text.get_color() for text in second].count("black") == 1
        assert second[1].get_color() == "black"
        np.testing.assert_allclose(shown(softmax)[7], 0.25)

    def test_most_fooled_counts_methods_and_prefers_the_first(self):
        class Model:
            def __init__(self, *fooled: bool) -> None:
                self.arrays = {"nearest x": np.zeros(5)}
                self.fooled = lambda _: np.array(fooled)

        models: Any = [Model(True, False, True, False, True, True), Model(*[False] * 4, True, True)]
        assert wnll_fig10.most_fooled(models) == [0, 2, 4]


@pytest.mark.parametrize("figure", [gll_fig9, wnll_fig10])
def test_vectors_and_images_of_two_channels_have_no_figure(figure: Any):
    for shape in ((4, 9), (4, 2, 3, 3)):
        stored = {
            name: np.ones(shape) if name.startswith("attacked x") else array
            for name, array in images("softmax").items()
        }
        given = results(lambda *_: list(image_numbers()), lambda _, stored=stored: stored)
        assert figure.draw(given) is None


def test_worst_case_alone_has_no_figure_of_differences():
    stored = {name: array for name, array in images("softmax").items() if "fgsm" not in name}
    assert gll_fig9.draw(results(lambda *_: list(image_numbers()), lambda _: stored)) is None
