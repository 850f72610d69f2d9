"""Inputs that raise a model's loss, for adversarial training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lapbench.attacks.base.ascent import ascend
from lapbench.attacks.base.ball import Ball
from lapbench.attacks.base.quantities import Units
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.model import Model


@validated
class AdversarialTraining:
    """Projected gradient descent in the ℓ∞ ball, as training against it uses it.

    Args:
        epsilon: ε, the radius.
        step_size: α of each step.
        steps: K.
        units: of ε and α: ``"input"``, or ``"normalised"``, where 1 is the standard deviation of
            the training inputs (per channel for images).

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR
    2018; WNLL paper, algorithm 3; GLL paper, section 4.3.3.

    """

    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    steps: Annotated[int, Field(ge=1)] = 5
    units: Units = "input"


def perturb(
    model: Model,
    x: Tensor,
    y: Tensor,
    pgd: AdversarialTraining,
    bounds: tuple[float, float] | None,
    deviation: Tensor | None = None,
) -> Tensor:
    """Inputs within ε of x with a higher training loss, from a random start.

    x ← clip(x + α sign ∇_x loss(x, y)), K times from x + U(−ε, ε). The gradient is the one that the
    method trains with: of the surrogate for WNLL, of the adjoint for GLL. The model is in
    evaluation mode, and penalties of terms play no part. Inputs are clipped to the ball, and to
    the bounds where there are any. Random numbers are torch's.

    Args:
        model: in training.
        x: (n, …) inputs of a mini-batch.
        y: (n,) their classes.
        pgd: the attack.
        bounds: of the inputs.
        deviation: (1, …) the unit of normalised ε and α.

    Raises:
        ValueError: if the units are normalised and the deviation is not given.

    """
    scale = x.new_ones(()) if pgd.units == "input" else deviation
    if scale is None:
        raise ValueError("deviation: received None; normalised units need that of the inputs")
    ball = Ball(x, pgd.epsilon, "linf", bounds, scale)

    def gradient(at: Tensor) -> Tensor:
        inputs = at.detach().requires_grad_()
        # Where inputs play no part, as in learning the edges of a graph, the gradient is 0.
        (slope,) = torch.autograd.grad(
            model.loss(inputs, y), inputs, allow_unused=True, materialize_grads=True
        )
        return slope

    with _evaluating(model):
        # GLL section 4.3.2
        *_, moved = ascend(gradient, ball, ball.random(), pgd.step_size, pgd.steps)
    return moved


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
