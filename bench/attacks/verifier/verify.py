"""Whether a network is right on all of a ball, by the cheapest means that tells."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lapbench.attacks.verifier.affine import AffineLayer, Array
from lapbench.attacks.verifier.bounds import input_box
from lapbench.attacks.verifier.milp import Verdict, exact, is_wrong


def verify(
    layers: Sequence[AffineLayer],
    x: Tensor,
    y: int,
    epsilon: float,
    bounds: tuple[float, float] | None,
    time_limit: float,
    adversarial: Tensor | None = None,
) -> Verdict:
    """Whether a network gives an image its class on all of a ball in the maximum norm.

    In this order: the image itself, inputs that attacks found, linear bounds, the integer program
    of ``exact``. Whatever is called unsafe was predicted wrongly by the layers in float64, inside
    ball and bounds. A model in float32 may differ where two classes all but tie.

    Args:
        layers: of ``affine_layers``.
        x: one image, in the shape of the model's inputs or flattened.
        y: its class.
        epsilon: radius of the ball, in units of the input.
        bounds: of every input value; None where there are none.
        time_limit: seconds for the linear bounds and the integer program together.
        adversarial: (k, …) what attacks found for this image; clipped to ball and bounds.

    Raises:
        ValueError: if x is outside the bounds.

    """
    image = _flat(x[None])[0]
    box = input_box(image, epsilon, bounds)
    if is_wrong(layers, image, y):
        return Verdict("unsafe", "clean", image)
    for adversary in () if adversarial is None else _flat(adversarial):
        candidate = np.clip(adversary, box.low, box.high)
        if is_wrong(layers, candidate, y):
            return Verdict("unsafe", "attack", candidate)
    return exact(layers, image, y, epsilon, bounds, time_limit)


def _flat(inputs: Tensor) -> Array:
    flat: Array = inputs.detach().cpu().double().flatten(1).numpy()
    return flat
