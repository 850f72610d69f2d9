"""The iterative fast gradient sign method."""

from collections.abc import Iterator
from math import ceil
from typing import ClassVar

from torch import Tensor

from lapbench.attacks.base.ascent import ascend
from lapbench.attacks.base.attack import Candidate, GradientAttack, Level
from lapbench.attacks.base.quantities import Count, Positive
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated

_CHECKED = 4


@validated(kw_only=True)
class IFGSM(GradientAttack):
    """Steps of a fixed length along the sign of the gradient, from the input itself.

    x_{i+1} = clip_{x,ε}(x_i + α sign ∇J(x_i, y)). The iterate after each quarter of the steps is
    evaluated too, so a table shows whether more steps help.

    Args:
        epsilons, norm, units, gradient: as for every attack by gradients.
        step_size: α, the same for every ε, in the units of ε.
        steps: how many, the same for every ε; by default round(5ε/α), one at least.

    Source: GLL paper, eq. 44 and section 4.3.3 (α = 0.05 in normalised units, 5ε/α steps); WNLL
    paper, eq. 16 and section 4.3 (given steps).

    """

    iterates: ClassVar[bool] = True

    step_size: Positive
    steps: Count | None = None

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the batch after each quarter of the steps, for each ε."""
        for epsilon in self.epsilons:
            ball = target.ball(x, epsilon, self.norm, self.units)
            steps = self._steps(epsilon)
            checked = _checked(steps)
            path = ascend(  # GLL eq. 44, WNLL eq. 16
                lambda z: target.gradient(z, y, self.gradient), ball, x, self.step_size, steps
            )
            for step, moved in enumerate(path, start=1):
                if step in checked:
                    yield Candidate(Level("epsilon", epsilon, step), moved)

    def _steps(self, epsilon: float) -> int:
        return self.steps or max(round(5 * epsilon / self.step_size), 1)


def _checked(steps: int) -> set[int]:
    return {ceil(steps * quarter / _CHECKED) for quarter in range(1, _CHECKED + 1)}
