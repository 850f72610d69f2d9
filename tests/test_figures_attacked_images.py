"""Figures of attacked images show what an attack changed, of those that it made wrong."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from attacked_results import Number, clean, headline, results, worst
from matplotlib.axes import Axes
from panels import drawn, texts

from lapbench.reports.figures import gll_fig9, wnll_fig10

LABELS = np.array([7, 3, 5, 1])
PREDICTED = {
    "none": np.array([1, 3, 5, 1]),
    "fgsm": np.array([2, 3, 4, 0]),
    "worst case": np.array([2, 9, 5, 0]),
}


def images(key: str, channels: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Image i has the value i/4; FGSM adds 0.1 and takes 0.1 from a corner. The first is wrong."""
    x = np.ones((4, channels, 3, 3)) * np.arange(4).reshape(-1, 1, 1, 1) / 4
    change = np.full((channels, 3, 3), 0.1)
    change[:, 0, 0] = -0.1
    found = {"attacked labels": LABELS}
    for attack, predicted in PREDICTED.items():
        if attack == "fgsm" and "gll" in key:
            predicted = PREDICTED["none"]
        found[f"attacked class: {attack}"] = predicted
        found[f"attacked x: {attack}"] = x + change * (attack != "none")
    found["nearest x"] = np.repeat(x[:, None], 5, axis=1)
    found["nearest class"] = np.array([[7, 3, 5, 1, 0]] * 4)
    return found


def image_numbers(*_: Any) -> Iterator[Number]:
    yield clean(0.75)
    yield from (("fgsm", "epsilon", level, 1, "robust_accuracy", 0.5) for level in (0.05, 0.1))
    yield worst(0.05, 0.5)
    yield worst(0.1, 0.4)
    yield headline(0.05)


def shown(ax: Axes) -> np.ndarray[Any, Any]:
    """The one image of a panel."""
    (image,) = ax.get_images()
    return np.asarray(image.get_array())


class TestGLLFigure9:
    def figure(self, channels: int = 1) -> list[list[Axes]]:
        given = results(lambda *_: list(image_numbers()), lambda key: images(key, channels))
        axes = drawn(gll_fig9.draw(given)).axes
        return [axes[:8], axes[8:]]

    def test_the_first_image_that_was_right_and_became_wrong_is_shown(self):
        softmax, _ = self.figure()
        clean_image, difference, attacked = map(shown, softmax[:3])
        np.testing.assert_allclose(clean_image, 0.5)
        np.testing.assert_allclose(attacked, clean_image + difference)
        np.testing.assert_allclose(difference, [[-0.1, 0.1, 0.1], [0.1] * 3, [0.1] * 3])
        assert softmax[1].get_title() == "max 0.1"
        assert softmax[2].get_title() == "5 → 4"

    def test_the_difference_has_a_scale_around_zero(self):
        softmax, _ = self.figure()
        assert softmax[1].get_images()[0].get_clim() == pytest.approx((-0.1, 0.1))

    def test_attacks_are_named_with_the_level_of_their_images(self):
        softmax, _ = self.figure()
        assert softmax[0].get_title("left") == "fgsm, ε = 0.1\n"
        assert softmax[4].get_title("left") == "worst case, ε = 0.05\n"
        assert softmax[6].get_title() == "3 → 9"

    def test_a_method_without_such_an_image_says_so(self):
        _, gll = self.figure()
        assert gll[0].get_ylabel().startswith("gll\ndigits,")
        assert texts(gll[1]) == ["none\nbecame wrong"]
        assert not gll[0].get_images()

    def test_colour_images_show_no_change_as_grey(self):
        softmax, _ = self.figure(channels=3)
        original, difference = shown(softmax[0]), shown(softmax[1])
        np.testing.assert_allclose(original, np.full((3, 3, 3), 2 / 3))
        np.testing.assert_allclose(difference[0, 0], 0)
        np.testing.assert_allclose(difference[1:], 1)

    def test_adversarially_trained_models_and_other_repetitions_are_left_out(self):
        given = results(lambda *_: list(image_numbers()), images, trainings=("natural", "pgd"))
        assert len(drawn(gll_fig9.draw(given)).axes) == 16


class TestWNLLFigure10:
    def blocks(self) -> list[Any]:
        given = results(lambda *_: list(image_numbers()), images)
        return list(drawn(wnll_fig10.draw(given)).subfigs)

    def test_images_are_those_that_became_wrong_first(self):
        """Images 1 and 3 were right and became wrong; 0 was wrong before, and comes first else."""
        softmax, gll = self.blocks()
        assert softmax.get_suptitle() == "softmax, digits, small_cnn"
        assert gll.get_suptitle() == "gll, digits, small_cnn"
        titles = [ax.get_title() for ax in softmax.axes[::8]]
        assert titles == ["7 → 2", "3 → 9", "1 → 0"]

    def test_neighbours_have_their_classes_orange_where_it_is_another(self):
        softmax, _ = self.blocks()
        second = softmax.axes[10:15]
        assert [ax.get_title() for ax in second] == ["7", "3", "5", "1", "0"]
        assert [ax.title.get_color() for ax in second].count("black") == 1
        assert second[1].title.get_color() == "black"
        np.testing.assert_allclose(shown(second[0]), 0.25)

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
