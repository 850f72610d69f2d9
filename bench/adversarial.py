"""Inputs that raise a model's loss, for adversarial training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from lapbench.attacks._ball import Ball
from lapbench.attacks._steps import ascend
from lapbench.methods._protocol import Model


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class PGD:
    """Projected gradient descent in the ℓ∞ ball, as training against it uses it.

    Args:
        epsilon: ε, the radius, in units of the input.
        step_size: α of each step.
        steps: K.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR
    2018; WNLL paper, algorithm 3; GLL paper, section 4.3.3.

    """

    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    steps: Annotated[int, Field(ge=1)] = 5


def perturb(
    model: Model, x: Tensor, y: Tensor, pgd: PGD, bounds: tuple[float, float] | None
) -> Tensor:
    """Return inputs within ε of x with a higher training loss, from a random start.

    x ← clip(x + α sign ∇_x loss(x, y)), K times from x + U(−ε, ε), with the gradient that the
    method itself trains with (of the surrogate for WNLL, of the adjoint for GLL) and the model in
    evaluation mode. Penalties of terms play no part. Inputs x (n, …), with classes y (n,), are
    clipped to the ball, and to the bounds where there are any. Randomness is torch's.
    """
    ball = Ball(x, pgd.epsilon, "linf", bounds, x.new_ones(()))

    def gradient(found: Tensor) -> Tensor:
        inputs = found.detach().requires_grad_()
        # Where inputs play no part, as in learning the edges of a graph, the gradient is 0.
        (slope,) = torch.autograd.grad(
            model.loss(inputs, y), inputs, allow_unused=True, materialize_grads=True
        )
        return slope

    with _evaluating(model):
        *_, found = ascend(gradient, ball, ball.random(), pgd.step_size, pgd.steps)
    return found


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
