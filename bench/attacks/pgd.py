"""Projected gradient descent with restarts."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from lapbench.attacks.base.ascent import ascend
from lapbench.attacks.base.attack import Candidate, GradientAttack, Level
from lapbench.attacks.base.loss import column
from lapbench.attacks.base.quantities import Count, Positive, StepCounts
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class PGD(GradientAttack):
    """Steps along the sign of the gradient from random starts in the ball.

    x_{i+1} = project(x_i + α sign ∇J(x_i, y)), in ℓ2 with ∇J/‖∇J‖, J = −log p_y. Each restart is a
    batch of its own. With ``base_sets`` > 1 the gradient is the mean over so many base sets: the
    model's own and others that are drawn, because luck with one base set is not robustness. On node
    tasks it changes the features of all nodes to be classified together.

    Args:
        epsilons, norm, units, gradient: as for every attack by gradients.
        steps: how many, in increasing order; all of them lie on the path of the last.
        restarts: random starts.
        relative_step_size: α/ε.
        base_sets: 1 is the model's own.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018;
    expectation over transformations: Athalye et al., "Obfuscated gradients give a false sense of
    security", 2018, section 4.2.

    """

    iterates: ClassVar[bool] = True
    starts_at_random: ClassVar[bool] = True

    steps: StepCounts
    restarts: Count = 1
    relative_step_size: Positive = 0.125
    base_sets: Count = 1

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the batch after each number of steps, for each ε and restart."""
        known = column(y >= 0, x)
        for epsilon in self.epsilons:
            ball = target.ball(x, epsilon, self.norm, self.units)
            for _ in range(self.restarts):
                path = ascend(
                    lambda z: target.gradient(z, y, self.gradient, self.base_sets),
                    ball,
                    torch.where(known, ball.random(), x),
                    self.relative_step_size * epsilon,
                    self.steps[-1],
                )
                for step, moved in enumerate(path, start=1):
                    if step in self.steps:
                        yield Candidate(Level("epsilon", epsilon, step), moved)
