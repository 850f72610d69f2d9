"""Bounds of all values inside a network hold."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from expect_refusal import refused
from make_relu_networks import flat, grid, random_layers, sampled, trained, values_inside

from lapbench.attacks.verifier.affine import AffineLayer, affine_layers, logits
from lapbench.attacks.verifier.bounds import Box, crown_bounds, input_box, margin_bounds

UNIT = (0.0, 1.0)


def interval_bounds(layers: Sequence[AffineLayer], box: Box) -> list[Box]:
    """Bounds of the values of every layer by interval arithmetic, end by end."""
    result: list[Box] = []
    for layer in layers:
        low, high = (np.maximum(end, 0) if result else end for end in (box.low, box.high))
        weight = layer.weight.toarray()
        up, down = np.maximum(weight, 0), np.minimum(weight, 0)
        ends = up @ low + down @ high + layer.bias, up @ high + down @ low + layer.bias
        result.append(box := Box(*ends))
    return result


class TestBounds:
    @pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0])
    def test_contain_what_is_sampled(self, epsilon: float):
        model, task = trained()
        layers = affine_layers(model, task.input_shape)
        for image in flat(task.test.x[:5]):
            box = input_box(image, epsilon, UNIT)
            inside = values_inside(layers, sampled(box, 2000))
            for bounds in (interval_bounds(layers, box), crown_bounds(layers, box)):
                for bound, values in zip(bounds, inside, strict=True):
                    assert (values >= bound.low - 1e-12).all()
                    assert (values <= bound.high + 1e-12).all()

    @pytest.mark.parametrize("epsilon", [0.01, 0.1])
    def test_of_margins_hold_and_gain_on_intervals(self, epsilon: float):
        model, task = trained()
        layers = affine_layers(model, task.input_shape)
        gains = []
        for image, y in zip(flat(task.test.x[:5]), task.test.y[:5].tolist(), strict=True):
            box = input_box(image, epsilon, UNIT)
            hidden = crown_bounds(layers[:-1], box)
            margins = margin_bounds(layers, hidden, box, y)
            assert margins[y] == np.inf
            outputs = logits(layers, sampled(box, 2000))
            others = np.arange(10) != y
            assert (outputs[:, [y]] - outputs >= margins - 1e-12)[:, others].all()
            output = interval_bounds(layers, box)[-1]
            gains.append((margins - (output.low[y] - output.high))[others].min())
        assert min(gains) > 0

    def test_of_crown_lie_between_those_of_intervals_and_a_fine_grid(self):
        """With two inputs the grid comes near the extremes, which samples of an image do not."""
        box = Box(np.full(2, -0.9), np.full(2, 1.1))
        inputs = grid(box, 101)
        for seed in range(30):
            layers = random_layers(2, 6, 6, 4, seed=seed)
            crown, inside = crown_bounds(layers, box), values_inside(layers, inputs)
            for interval, bound, values in zip(
                interval_bounds(layers, box), crown, inside, strict=True
            ):
                assert (interval.low - 1e-12 <= bound.low).all()
                assert (bound.low <= values.min(axis=0) + 1e-12).all()
                assert (values.max(axis=0) <= bound.high + 1e-12).all()
                assert (bound.high <= interval.high + 1e-12).all()
            margins = margin_bounds(layers, crown[:-1], box, 0)[1:]
            assert (margins <= (inside[-1][:, [0]] - inside[-1]).min(axis=0)[1:] + 1e-12).all()

    def test_of_crown_are_exact_where_every_neuron_is_stable(self):
        """The network is then linear, and has its extremes at corners."""
        layers = random_layers(4, 5, 5, 3, seed=0, shift=50.0)
        box = Box(np.full(4, -0.5), np.full(4, 0.5))
        corners = np.array(list(product(*zip(box.low, box.high, strict=True))))
        expected = values_inside(layers, corners)
        for bound, values in zip(crown_bounds(layers, box), expected, strict=True):
            np.testing.assert_allclose(bound.low, values.min(axis=0), atol=1e-10)
            np.testing.assert_allclose(bound.high, values.max(axis=0), atol=1e-10)
        outputs = expected[-1]
        margins = margin_bounds(layers, crown_bounds(layers[:-1], box), box, 0)
        least = (outputs[:, [0]] - outputs).min(axis=0)
        np.testing.assert_allclose(margins[1:], least[1:], atol=1e-10)

    def test_of_intervals_are_exact_in_one_layer(self):
        layers = random_layers(4, 5, seed=1)
        box = Box(np.full(4, -0.5), np.full(4, 0.5))
        corners = np.array(list(product(*zip(box.low, box.high, strict=True))))
        (bound,), (values,) = interval_bounds(layers, box), values_inside(layers, corners)
        np.testing.assert_allclose(bound.low, values.min(axis=0), atol=1e-12)
        np.testing.assert_allclose(bound.high, values.max(axis=0), atol=1e-12)

    def test_of_inputs_are_those_of_the_ball_within_the_range(self):
        box = input_box(np.array([0.0, 0.5, 0.95]), 0.1, UNIT)
        np.testing.assert_allclose(box.low, [0, 0.4, 0.85])
        np.testing.assert_allclose(box.high, [0.1, 0.6, 1])
        free = input_box(np.array([3.0]), 0.5, None)
        assert (free.low, free.high) == (2.5, 3.5)
        with refused(ValueError, "from 0 to 2"):
            input_box(np.array([0.0, 2.0]), 0.1, UNIT)
