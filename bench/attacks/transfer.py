"""Adversarial inputs of another model."""

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from lapbench.attacks.base.attack import BallAttack, Candidate
from lapbench.attacks.base.quantities import Count, Knowledge, Positive, StepCounts
from lapbench.attacks.base.target import Target
from lapbench.attacks.pgd import PGD
from lapbench.datasets.base.validated import validated
from lapbench.errors import NotApplicableError


@validated(kw_only=True)
class Transfer(BallAttack):
    """PGD on another model; the attacked model is never queried.

    Prefer it beside PGD: a model that loses more to it than to PGD hides its gradient.

    Args:
        epsilons, norm, units: of the ball.
        steps, restarts, relative_step_size: as for PGD.
        source: the method, or the key of the record, of the other model.

    Source: Papernot et al., "Practical black-box attacks against machine learning", 2017; Athalye
    et al., "Obfuscated gradients give a false sense of security", 2018.

    """

    knowledge: ClassVar[Knowledge] = "transfer"

    steps: StepCounts
    restarts: Count = 1
    relative_step_size: Positive = 0.125
    source: str = "softmax"

    def needs(self) -> list[str]:
        """The source."""
        return [self.source]

    def skip(self, target: Target) -> str | None:
        """Why there is no other model, if so."""
        try:
            target.source(self.source)
        except NotApplicableError as error:
            return str(error)
        return None

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield what PGD makes of the batch on the other model.

        Raises:
            NotApplicableError: if there is none.

        """
        return self._pgd().perturb(target.source(self.source), x, y)

    def _pgd(self) -> PGD:
        return PGD(
            epsilons=self.epsilons,
            norm=self.norm,
            units=self.units,
            steps=self.steps,
            restarts=self.restarts,
            relative_step_size=self.relative_step_size,
        )
