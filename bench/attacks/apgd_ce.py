"""Auto-PGD on the cross-entropy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lapbench.attacks.base.attack import Candidate, GradientAttack, Level
from lapbench.attacks.base.ball import Ball
from lapbench.attacks.base.loss import column, log_likelihood
from lapbench.attacks.base.quantities import Count
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated

_MOMENTUM = 0.75
_SHARE_OF_RISES = 0.75


@dataclass(frozen=True, eq=False)
class _Iterate:
    """Inputs x (n, …), their losses (n,) and the gradients there (n, …)."""

    x: Tensor
    loss: Tensor
    gradient: Tensor

    def where(self, chosen: Tensor, other: "_Iterate") -> "_Iterate":
        """These for the chosen inputs (n,), and the others elsewhere."""
        rows = column(chosen, self.x)
        return _Iterate(
            torch.where(rows, self.x, other.x),
            torch.where(chosen, self.loss, other.loss),
            torch.where(rows, self.gradient, other.gradient),
        )


@validated(kw_only=True)
class APGDCE(GradientAttack):
    """PGD with momentum; each input halves its own step size where it no longer gains.

    With P the projection and s the step of length η along the gradient of J = −log p_y (its sign in
    ℓ∞, its direction in ℓ2),

        z_{k+1} = P(x_k + s(x_k)),
        x_{k+1} = P(x_k + α(z_{k+1} − x_k) + (1 − α)(x_k − x_{k−1})),   α = 0.75,

    from η = 2ε. At each checkpoint an input that no longer gains halves η and continues from its
    best iterate. That is: J rose in fewer than 75 % of the steps since the last checkpoint, or η
    was kept there and the best J has not grown since. There is no step size to choose, so prefer it
    to PGD for judging a model.

    Yields the iterate of each input with the largest J. Where predictions depend on the batch,
    these iterates come from different steps and are together in one batch for the first time. An
    input that returns to its best iterate takes the gradient that it had in the batch of that step.

    Args:
        epsilons, norm, units, gradient: as for every attack by gradients.
        steps: how many.
        restarts: random starts, each a batch of its own.

    Source: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks", 2020, algorithm 1 and section 3.

    """

    adapts_steps: ClassVar[bool] = True

    steps: Count = 50
    restarts: Count = 1

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the best iterates for each ε and restart."""
        for epsilon in self.epsilons:
            ball = target.ball(x, epsilon, self.norm, self.units)
            for _ in range(self.restarts):
                start = torch.where(column(y >= 0, x), ball.random(), x)
                best = self._ascend(target, ball, start, y)
                yield Candidate(Level("epsilon", epsilon, self.steps), best)

    def _ascend(self, target: Target, ball: Ball, start: Tensor, y: Tensor) -> Tensor:
        halvings = _checkpoints(self.steps)
        size = start.new_full((len(start),), 2 * ball.epsilon)
        current = best = self._visit(target, start, y)
        before, rises = current.x, torch.zeros_like(current.loss)
        kept, best_before, last = torch.ones_like(y, dtype=torch.bool), current.loss, 0
        for step in range(self.steps):
            moved = ball.step(current.gradient, 1.0) * column(size, start)
            following = ball.project(current.x + moved)
            if step > 0:
                ahead = _MOMENTUM * (following - current.x)
                following = ball.project(current.x + ahead + (1 - _MOMENTUM) * (current.x - before))
            before, loss_before = current.x, current.loss
            current = self._visit(target, following, y)
            best = current.where(current.loss > best.loss, best)
            if step in halvings:
                stalled = kept & (best.loss <= best_before)
                halve = stalled | (rises < _SHARE_OF_RISES * (step - last))
                size = torch.where(halve, size / 2, size)
                current = best.where(halve, current)
                kept, best_before, last = ~halve, best.loss, step
                rises = torch.zeros_like(rises)
            rises = rises + (current.loss > loss_before)
        return best.x

    def _visit(self, target: Target, x: Tensor, y: Tensor) -> _Iterate:
        inputs = x.detach().requires_grad_()
        loss = -log_likelihood(target.log_probabilities(inputs, self.gradient), y)
        target.gradients += 1
        (gradient,) = torch.autograd.grad(loss.sum(), inputs)
        gradient = torch.where(column(y >= 0, x), gradient, 0.0)
        return _Iterate(x, loss.detach(), gradient)


def _checkpoints(steps: int) -> set[int]:
    """⌈p_j K⌉ with p_1 = 0.22 and p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06) ≤ 1."""
    before, percent = 0, 22
    checkpoints = set()
    while percent <= 100:
        checkpoints.add(-(-percent * steps // 100))
        before, percent = percent, percent + max(percent - before - 3, 6)
    return checkpoints
