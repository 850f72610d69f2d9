"""The iterative fast gradient sign method."""

from collections.abc import Iterator
from math import ceil

from pydantic.dataclasses import dataclass
from torch import Tensor

from lapbench.attacks._protocol import STRICT, Candidate, GradientAttack, Level, Positive
from lapbench.attacks._steps import ascend
from lapbench.attacks._target import Target

_CHECKED = 4


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IFGSM(GradientAttack):
    """Steps of a fixed length along the sign of the gradient, from the input itself.

    x_{i+1} = clip_{x,ε}(x_i + α sign ∇J(x_i, y)), round(5ε/α) times and at least once. What was
    found after each quarter of the steps is evaluated too, so that a table shows whether more steps
    help.

    Args:
        epsilons, norm, units, gradient: as for every attack by gradients.
        step_size: α, the same for every ε, in the units of ε.

    Source: GLL paper, eq. 44 and section 4.3.3 (α = 0.05 in normalised units); WNLL paper, eq. 16.

    """

    step_size: Positive

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the batch after each quarter of the steps, for each ε."""
        for epsilon in self.epsilons:
            ball = target.ball(x, epsilon, self.norm, self.units)
            steps = max(round(5 * epsilon / self.step_size), 1)
            checked = {ceil(steps * quarter / _CHECKED) for quarter in range(1, _CHECKED + 1)}
            path = ascend(
                lambda z: target.gradient(z, y, self.gradient), ball, x, self.step_size, steps
            )
            for step, found in enumerate(path, start=1):
                if step in checked:
                    yield Candidate(Level("epsilon", epsilon, step), found)
