"""Bounds of every pre-activation of a network over a box of inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lapbench.attacks.verifier.affine import AffineLayer, Array


@dataclass(frozen=True, eq=False)
class Box:
    """All z with low ≤ z ≤ high, coordinate by coordinate."""

    low: Array
    high: Array


def input_box(x: Array, epsilon: float, bounds: tuple[float, float] | None) -> Box:
    """The inputs within ε of x (d,) in the maximum norm, inside the bounds if there are any.

    Raises:
        ValueError: if x itself is outside the bounds.

    """
    if bounds is None:
        return Box(x - epsilon, x + epsilon)
    if x.min() < bounds[0] or x.max() > bounds[1]:
        raise ValueError(
            f"verification: received an input from {x.min():g} to {x.max():g}; must be "
            f"within the task's bounds {bounds}; correct the bounds of the data set"
        )
    return Box(np.maximum(x - epsilon, bounds[0]), np.minimum(x + epsilon, bounds[1]))


def crown_bounds(layers: Sequence[AffineLayer], box: Box) -> list[Box]:
    r"""Bounds of the values of every affine layer by CROWN, within interval arithmetic.

    A neuron whose pre-activation z is in [l, u], l < 0 < u, lies between two lines,

    .. math:: \alpha z \le \max(0, z) \le \frac{u (z - l)}{u - l},

    α = 1 where u ≥ −l and 0 elsewhere. Each bound of a layer substitutes the lines backwards, layer
    by layer, into a linear function of the input, whose least value on the box is known. Bounds of
    the layers before are those found in the same way. Exact where no neuron has l < 0 < u.

    Source: Zhang, Weng, Chen, Hsieh and Daniel, "Efficient neural network robustness certification
    with general activation functions", NeurIPS 2018, section 3.
    """
    boxes: list[Box] = []
    for position, layer in enumerate(layers):
        interval = _interval(layer, _relu(boxes[-1]) if boxes else box)
        before = layers[:position]
        low = np.maximum(interval.low, _lower(layer, before, boxes, box))
        negative = AffineLayer(-layer.weight, -layer.bias)
        high = np.minimum(interval.high, -_lower(negative, before, boxes, box))
        # Where both are exact, rounding may put one above the other.
        boxes.append(Box(np.minimum(low, high), np.maximum(low, high)))
    return boxes


def margin_layer(last: AffineLayer, y: int) -> AffineLayer:
    """The last layer's z_y − z_j for all classes j in its place; row y is 0."""
    weight = last.weight[[y] * len(last.bias)] - last.weight
    return AffineLayer(weight, last.bias[y] - last.bias)


def margin_bounds(layers: Sequence[AffineLayer], hidden: Sequence[Box], box: Box, y: int) -> Array:
    """CROWN's lower bounds (c,) of z_y − z_j; ∞ at j = y.

    ``hidden`` are bounds of the values of all layers but the last.
    """
    low = _lower(margin_layer(layers[-1], y), layers[:-1], hidden, box)
    low[y] = np.inf
    return low


def _relu(box: Box) -> Box:
    return Box(np.maximum(box.low, 0), np.maximum(box.high, 0))


def _interval(layer: AffineLayer, box: Box) -> Box:
    centre, radius = (box.low + box.high) / 2, (box.high - box.low) / 2
    middle, spread = layer.weight @ centre + layer.bias, abs(layer.weight) @ radius
    return Box(middle - spread, middle + spread)


def _lower(
    layer: AffineLayer, before: Sequence[AffineLayer], hidden: Sequence[Box], box: Box
) -> Array:
    """Lower bounds of a layer's values, by the lines of the neurons before it.

    At every moment the values are at least ``slopes`` @ (what enters the current ReLU) +
    ``offset``.
    """
    slopes: Array = layer.weight.toarray()
    offset = layer.bias
    for previous, bound in zip(reversed(before), reversed(hidden), strict=True):
        upper, intercept, lower = _lines(bound)
        positive, negative = np.maximum(slopes, 0), np.minimum(slopes, 0)
        offset = offset + negative @ intercept
        slopes = positive * lower + negative * upper
        offset = offset + slopes @ previous.bias
        slopes = (previous.weight.T @ slopes.T).T
    result: Array = np.maximum(slopes, 0) @ box.low + np.minimum(slopes, 0) @ box.high + offset
    return result


def _lines(bound: Box) -> tuple[Array, Array, Array]:
    """Slope and intercept of the line above each ReLU, and the slope of that below."""
    low, high = bound.low, bound.high
    unstable = (low < 0) & (high > 0)
    always = (low >= 0).astype(np.float64)
    width = np.where(unstable, high - low, 1)
    upper = np.where(unstable, high / width, always)
    intercept = np.where(unstable, -low * high / width, 0)
    lower = np.where(unstable, (high >= -low).astype(np.float64), always)
    return upper, intercept, lower
