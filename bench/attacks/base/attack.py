"""What an attack is: something that changes inputs, or the model, to make predictions wrong."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from lapbench.attacks.base.quantities import Gradient, Knowledge, Levels, Norm, Units
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.capabilities import HasExactGradient

CLEAN = "none"
WORST = "worst case"
BY_GRADIENTS = "by its own gradient"
RESERVED = (CLEAN, WORST, BY_GRADIENTS)
"""Labels that no attack may have: of the clean samples, of all attacks, of those by gradients."""


@dataclass(frozen=True)
class Level:
    """How strong an attack is.

    Attributes:
        parameter: what makes it stronger: "epsilon", "c", "snr", "share", "bits"; "" for nothing.
        value: of that parameter, as the suite has it.
        steps: iterations, 0 where there are none.

    """

    parameter: str = ""
    value: float = 0.0
    steps: int = 0


@dataclass(frozen=True, eq=False)
class Candidate:
    """What an attack made of a whole batch, before anybody checks it.

    Attributes:
        level: how strong the attack was.
        x: inputs (n, …), row by row those of the batch.
        log_probabilities: (n, c) where the attack changed the model or the graph rather than the
            inputs; None leaves the prediction to the harness.
        numbers: of each sample (n,), to be averaged: "snr", say. NaN leaves a sample out.

    """

    level: Level
    x: Tensor
    log_probabilities: Tensor | None = None
    numbers: dict[str, Tensor] = field(default_factory=dict)


class Attack(ABC):
    """An attack or perturbation: a frozen pydantic dataclass of its budget.

    Its word is not trusted: the harness clips what it found to the ball and to the bounds of the
    inputs and predicts it again, in the same batch. No sample leaves a batch, as the prediction of
    the others may depend on it.
    """

    knowledge: ClassVar[Knowledge] = "white box"
    """What it uses: gradients, predictions alone, another model, chance, or a proof.

    Under "chance" the accuracy is the mean over the candidates of a level; else a sample counts as
    right only if it is right in each of them (restarts, say).
    """

    iterates: ClassVar[bool] = False
    """Whether its levels lie on paths of equal steps, along which accuracy should only fall."""

    starts_at_random: ClassVar[bool] = False
    """Whether a path begins at a random point of the ball rather than at the input."""

    adapts_steps: ClassVar[bool] = False
    """Whether it chooses the length of its steps, and so should find no less than equal ones."""

    gradient: Gradient = "own"
    """Which gradient it follows, if it uses any."""

    base_sets: int = 1
    """Over how many base sets its gradient is a mean."""

    @property
    def follows_own_gradient(self) -> bool:
        """Whether it follows the gradient that the model trains with."""
        return self.knowledge == "white box" and self.gradient == "own"

    @property
    def searches_from_random(self) -> bool:
        """Whether it iterates from random starts: what checks for hidden gradients compare."""
        return self.iterates and self.starts_at_random

    @property
    def is_plain(self) -> bool:
        """Whether it is the reference of these checks: own gradient, one base set, given steps."""
        return self.searches_from_random and self.gradient == "own" and self.base_sets == 1

    version: ClassVar[int] = 1
    """Raised by hand when the same budget gives other results."""

    def needs(self) -> list[str]:
        """The names of methods, or keys of records, whose models it uses."""
        return []

    def skip(self, target: Target) -> str | None:  # noqa: ARG002
        """Why the attack does not apply to the model, or None if it does."""
        return None

    @abstractmethod
    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield candidates for a batch x (n, …) of classes y (n,), restarts as separate ones.

        Samples with y = −1 stay as they are. Randomness is torch's.
        """


@validated(kw_only=True)
class BallAttack(Attack):
    """An attack that searches the ball of radius ε around each input.

    Args:
        epsilons: ε, in increasing order.
        norm: ``"linf"``, or ``"l2"`` over all values of a sample.
        units: of ε: those of the input, or of the input over its standard deviation in the
            training data (per channel for images), ``"normalised"``.

    """

    epsilons: Levels
    norm: Norm = "linf"
    units: Units = "input"


@validated(kw_only=True)
class GradientAttack(BallAttack):
    """One that follows the gradient of J = −log p_y.

    Args:
        epsilons, norm, units: of the ball.
        gradient: the model's ``"own"``, which it trains with, or ``"exact"`` where that is only a
            surrogate.

    """

    gradient: Gradient = "own"

    def skip(self, target: Target) -> str | None:
        """Skip where there is no exact gradient beside its own, or no base set to average over."""
        if self.base_sets > 1 and not target.has_base_set:
            return "it has no base set that is drawn"
        if self.gradient == "exact" and target.gradient_kind != "surrogate":
            return f"its own gradient is no surrogate ({target.gradient_kind})"
        if self.gradient == "exact" and not isinstance(target.model, HasExactGradient):
            return "it has no exact gradient beside its surrogate"
        return None
