"""What every method may spend in training."""

from dataclasses import replace
from itertools import pairwise
from math import cos, pi
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.dataclasses import dataclass

from lapbench.datasets.base.validated import validated

# To ``_explain`` a table does not come from JSON any more, where lists may be tuples.
_FROM_LISTS = ConfigDict(extra="forbid", strict=False)

_FEWEST_EPOCHS = 4
_SMALLEST_BATCH = 50

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Points = Annotated[list[tuple[NotNegative, NotNegative]], Field(min_length=1)]
"""Pairs of an epoch and what multiplies the learning rate there, in order of the epochs."""


def _check_order(points: Points) -> None:
    for (one, _), (two, _) in pairwise(points):
        if two <= one:
            raise ValueError(f"epochs: received {two:g} after {one:g}; must ascend")


def _stretched(points: Points, share: float) -> Points:
    return [(share * epoch, factor) for epoch, factor in points]


@dataclass(frozen=True, config=_FROM_LISTS)
class Steps:
    """The learning rate is multiplied by a factor from an epoch on, by 1 before the first.

    Args:
        steps: [epoch, factor], as in ``[[50, 0.1], [75, 0.01]]``.

    """

    steps: Points

    def __post_init__(self) -> None:
        _check_order(self.steps)

    def factor(self, epoch: int) -> float:
        """The factor of an epoch, counted from 0."""
        return next((factor for start, factor in reversed(self.steps) if start <= epoch), 1.0)

    def stretched(self, share: float) -> "Steps":
        """The schedule of a share of the epochs."""
        return Steps(_stretched(self.steps, share))

    def __str__(self) -> str:
        return "; ".join(f"× {factor:g} from epoch {start:g}" for start, factor in self.steps)


@dataclass(frozen=True, config=_FROM_LISTS)
class Linear:
    """The learning rate is multiplied by a factor that is linear between points, constant beyond.

    Args:
        linear: [epoch, factor], as in ``[[0, 0], [40, 1], [100, 0]]``; an epoch has the factor of
            its middle.

    """

    linear: Points

    def __post_init__(self) -> None:
        _check_order(self.linear)

    def factor(self, epoch: int) -> float:
        """The factor of an epoch, counted from 0."""
        epochs, factors = zip(*self.linear, strict=True)
        return float(np.interp(epoch + 0.5, epochs, factors))

    def stretched(self, share: float) -> "Linear":
        """The schedule of a share of the epochs."""
        return Linear(_stretched(self.linear, share))

    def __str__(self) -> str:
        return "linear, " + "; ".join(f"× {factor:g} at {epoch:g}" for epoch, factor in self.linear)


def _explain(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Give one message in place of one for every alternative."""
    try:
        return validate(value)
    except ValidationError as error:
        raise ValueError(
            "must be 'constant', 'cosine', or a table of steps or linear with the factor "
            "from, or at, ascending epochs, as in steps = [[50, 0.1], [75, 0.01]]"
        ) from error


Schedule = Annotated[Literal["constant", "cosine"] | Steps | Linear, WrapValidator(_explain)]


@validated
class Budget:
    """What every method may spend in training, and how it trains: the same epochs for all.

    Args:
        epochs: passes over the training data; 0 leaves the model as it starts.
        batch_size: samples per step.
        optimizer: ``"adam"``, or ``"sgd"`` or ``"nesterov"`` (momentum 0.9).
        learning_rate: that the schedule multiplies.
        schedule: ``"constant"``; ``"cosine"`` from the learning rate to 0 over the epochs; a table
            of ``steps``, or one of points with ``linear`` pieces between them.
        weight_decay: L2 penalty of the optimiser.
        augmentation: of the images of each batch: ``"crop-flip"`` or ``"strong"``.

    """

    epochs: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)] = 200
    optimizer: Literal["adam", "sgd", "nesterov"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    schedule: Schedule = "constant"
    weight_decay: NotNegative = 0.0
    augmentation: Literal["none", "crop-flip", "strong"] = "none"

    def rate_factor(self, epoch: int) -> float:
        """What multiplies the learning rate in an epoch, counted from 0."""
        if isinstance(self.schedule, str):
            cosine = self.schedule == "cosine"
            return (1 + cos(pi * epoch / self.epochs)) / 2 if cosine else 1.0
        return self.schedule.factor(epoch)

    def scaled(self, share: float, whole_data: bool = False) -> Self:
        """The budget with a share of the epochs and of the samples of a batch.

        Batches stay as they are where the data stay whole. Else an epoch on a share of the data has
        as many steps as before, without which little would be learned. The learning rate shrinks
        with the batch: linearly for gradient descent, by the square root for Adam. Four epochs are
        left at least, if there were, which two rounds of two stages need, and batches of 50.

        Source: the rules are those of Goyal et al., "Accurate, large minibatch SGD: training
        ImageNet in 1 hour", 2017, and of Malladi et al., "On the SDEs and scaling rules for
        adaptive gradient algorithms", NeurIPS 2022.
        """
        if not self.epochs:
            return self
        epochs = max(min(self.epochs, _FEWEST_EPOCHS), round(share * self.epochs))
        least = self.batch_size if whole_data else min(self.batch_size, _SMALLEST_BATCH)
        batch_size = max(least, round(share * self.batch_size))
        schedule = self.schedule
        if not isinstance(schedule, str):
            schedule = schedule.stretched(epochs / self.epochs)
        smaller = batch_size / self.batch_size
        rate = self.learning_rate * (smaller**0.5 if self.optimizer == "adam" else smaller)
        return replace(
            self, epochs=epochs, batch_size=batch_size, learning_rate=rate, schedule=schedule
        )

    def __str__(self) -> str:
        if not self.epochs:
            return "no training"
        augmented = "" if self.augmentation == "none" else f", augmentation {self.augmentation}"
        return (
            f"{self.epochs} epochs of {self.optimizer}, learning rate {self.learning_rate:g} "
            f"({self.schedule}), weight decay {self.weight_decay:g}, batches of {self.batch_size}"
            f"{augmented}"
        )
