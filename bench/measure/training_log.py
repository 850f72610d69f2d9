"""The log of a training: curves, times, warnings and arrays. A checkpoint keeps it."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from warnings import WarningMessage

import numpy as np
import torch

from lapbench.measure.timing import StepClock
from lapbench.methods.base.model import Model
from lapbench.training.events import Epoch, Step
from lapbench.training.state import State

_CLOCK = ("phases", "step_seconds", "softmax_step_seconds")


@dataclass(eq=False)
class TrainingLog:
    """Numbers of a training, which survive an interruption.

    Attributes:
        curves: one number for each epoch, by name.
        caught: warnings so far; more are added.
        clock: times the steps.
        arrays: snapshots.
        first_step: loss of the first step, and how far it moves θ. Rounding, which differs between
            processors, has not grown yet.
        seconds: spent on training.

    """

    curves: dict[str, list[float | None]]
    caught: Sequence[WarningMessage]
    clock: StepClock
    arrays: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    first_step: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def step(self, model: Model, step: Step, samples: int) -> float:
        """Make a step, timed, and return its loss."""
        if self.first_step:
            return self.clock.step(step, samples)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        loss = self.clock.step(step, samples)
        moves = zip(model.parameters(), before, strict=True)
        length = math.hypot(*(float((now.detach() - then).norm()) for now, then in moves))
        self.first_step = {"first_step_loss": loss, "first_step_length": length}
        return loss

    def append(self, epoch: Epoch) -> None:
        """Add the numbers of an epoch; a curve without one has None there."""
        for name in dict.fromkeys([*self.curves, *epoch.curves]):
            curve = self.curves.setdefault(name, [None] * (epoch.number - 1))
            curve.append(epoch.curves.get(name))

    def state(self) -> State:
        """State for a checkpoint."""
        arrays = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        return {
            "curves": self.curves,
            "warnings": [str(warning.message) for warning in self.caught],
            "arrays": arrays,
            "first_step": self.first_step,
            "seconds": self.seconds,
            "epochs": dict(self.clock.epochs),
            "cold": self.clock.cold,
        } | {name: getattr(self.clock, name) for name in _CLOCK}

    def resume(self, state: State) -> None:
        """Go on from a checkpoint."""
        self.curves.update(state["curves"])
        self.arrays.update({name: array.numpy() for name, array in state["arrays"].items()})
        self.first_step = state["first_step"]
        self.seconds = state["seconds"]
        self.clock.epochs.update(state["epochs"])
        self.clock.cold = state["cold"]
        for text in state["warnings"]:
            warnings.warn(text, stacklevel=2)
        for name in _CLOCK:
            getattr(self.clock, name).extend(state[name])
