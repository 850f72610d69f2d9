"""DeepFool."""

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.linalg import vector_norm

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.loss import column
from lapbench.attacks.base.quantities import Count
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated

_BEYOND = 1e-4


@validated(kw_only=True)
class DeepFool(Attack):
    """Steps to the nearest boundary of the linearised classifier: a short change in ℓ2.

    Let f_k = log p_k − log p_y, which is also the difference of logits, and w_k = ∇f_k. Each step
    adds r_i = |f_l| w_l/‖w_l‖² for the class l of the least |f_l|/‖w_l‖. The result is
    x' = x + (1 + η) Σ r_i, clipped to the bounds. Each step is 1e-4 longer than that: where bounds
    take a part of it back, the iterates would otherwise approach the boundary and never cross it.
    An input is done once it is wrong; one that is wrong at the start stays, at distance 0. An input
    that is right after the last step is a failure: the mean distance leaves it out, a table
    counts it.

    The gradient is that of a score summed over the batch. Where predictions depend on the batch, it
    includes the effect of an input on the others.

    Args:
        steps: at most.
        overshoot: η.
        candidates: classes considered with the input's own, the most probable ones of the clean
            prediction; all if there are fewer.

    Source: Moosavi-Dezfooli et al., "DeepFool: a simple and accurate method to fool deep neural
    networks", 2016, algorithm 2.

    """

    steps: Count = 30
    overshoot: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.02
    candidates: Annotated[int, Field(ge=2)] = 10

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the batch as it is when all are wrong, or after the last step."""
        with torch.no_grad():
            clean = target.log_probabilities(x)
        classes = clean.topk(min(self.candidates, clean.shape[1]), dim=1).indices
        right = classes[:, 0] == y
        change, nearest = torch.zeros_like(x), x
        for _ in range(self.steps):
            scores, gradients, predicted = _linearised(target, nearest, classes)
            right = right & (predicted == y)
            if not right.any():
                break
            step = _nearest_boundary(scores, gradients)
            change = change + torch.where(column(right, x), step, 0)
            moved = x + (1 + self.overshoot) * change
            if target.bounds is not None:
                moved = moved.clamp(*target.bounds)
            nearest = torch.where(column(right, x), moved, nearest)
        yield Candidate(Level("", 0.0, self.steps), nearest)


def _linearised(target: Target, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """F_k (n, k) and ∇f_k (n, k, …) of all classes but the first, and the predictions."""
    inputs = x.detach().requires_grad_()
    predicted = target.log_probabilities(inputs)
    values = predicted.gather(1, classes)
    scores = values[:, 1:] - values[:, :1]
    gradients: list[Tensor] = []
    for score in scores.sum(dim=0):
        target.gradients += 1
        gradients += torch.autograd.grad(score, inputs, retain_graph=True)
    return scores.detach(), torch.stack(gradients, dim=1), predicted.argmax(dim=1)


def _nearest_boundary(scores: Tensor, gradients: Tensor) -> Tensor:
    """The step (n, …) to the nearest boundary; 0 where no class has a gradient."""
    lengths = vector_norm(gradients.flatten(2), dim=2)
    distances = torch.where(lengths > 0, scores.abs() / lengths, torch.inf)
    distance, nearest = distances.min(dim=1)
    rows = torch.arange(len(scores), device=scores.device)
    direction = gradients[rows, nearest] / column(lengths[rows, nearest], gradients[:, 0])
    reached = column(distance.isfinite(), direction)
    return torch.where(reached, column(distance + _BEYOND, direction) * direction, 0)
