"""Inputs between bounds as a function of variables without any."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lapbench.attacks.base.target import Target

_SHRINK = 1 - 1e-6


@dataclass(frozen=True)
class TanhBox:
    """The map x = low + (high − low)(tanh w + 1)/2 from all w to inputs between two bounds."""

    low: float
    high: float

    @classmethod
    def of(cls, target: Target) -> "TanhBox":
        """The map onto the bounds of the target's inputs.

        Raises:
            ValueError: if it has none.

        """
        if target.bounds is None:
            raise ValueError(cls.why_not(target))
        return cls(*target.bounds)

    @staticmethod
    def why_not(target: Target) -> str | None:
        """Why there is no such map, or None if there is."""
        if target.bounds is None:
            return f"the inputs of {target.task.name} have no bounds; deepfool and pgd need none"
        return None

    def free(self, x: Tensor) -> Tensor:
        """``w`` = atanh((2(x − low)/(high − low) − 1)(1 − 1e-6)), finite at the bounds too."""
        centred = 2 * (x - self.low) / (self.high - self.low) - 1
        return torch.atanh(centred * _SHRINK)

    def inputs(self, w: Tensor) -> Tensor:
        """X."""
        return self.low + (self.high - self.low) * (torch.tanh(w) + 1) / 2
