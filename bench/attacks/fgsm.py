"""The fast gradient sign method."""

from collections.abc import Iterator

from torch import Tensor

from lapbench.attacks.base.ascent import ascend
from lapbench.attacks.base.attack import Candidate, GradientAttack, Level
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class FGSM(GradientAttack):
    """One step of length ε along the sign of the gradient.

    x' = clip(x + ε sign ∇_x J(x, y)) with J = −log p_y and sign(0) = 0; in ℓ2 the step is
    ε ∇J/‖∇J‖. Fast rather than strong: accuracy need not fall with growing ε.

    Source: GLL paper, eq. 43; WNLL paper, eq. 14; Goodfellow et al., "Explaining and harnessing
    adversarial examples", 2014.

    """

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the batch moved by each ε."""
        gradient = target.gradient(x, y, self.gradient)
        for epsilon in self.epsilons:
            ball = target.ball(x, epsilon, self.norm, self.units)
            # GLL eq. 43, WNLL eq. 14
            (moved,) = ascend(lambda _: gradient, ball, x, epsilon, steps=1)
            yield Candidate(Level("epsilon", epsilon, 1), moved)
