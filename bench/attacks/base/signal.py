"""Noise of a stated signal-to-noise ratio."""

import torch
from torch import Tensor
from torch.linalg import vector_norm

from lapbench.attacks.base.attack import Candidate, Level
from lapbench.attacks.base.loss import column
from lapbench.attacks.base.quantities import Units
from lapbench.attacks.base.target import Target
from lapbench.methods.base.backbone import Normalize


class Signal:
    """A batch of inputs x (n, …), to which noise can be added.

    The ratio of a sample is 20·log10(‖x‖₂/‖noise‖₂) in decibels, before anything is clipped. In
    normalised units both are those of (x − mean)/σ, with mean and σ of the training data as
    backbones normalise: the same noise has another ratio there.
    """

    def __init__(self, target: Target, x: Tensor, y: Tensor, units: Units) -> None:
        self.x = x
        self._unit, seen = x.new_ones(()), x
        if units == "normalised":
            normalize = Normalize(target.task.train.x)
            self._unit, seen = normalize.deviation, normalize(x)
        self.norm = torch.where(y >= 0, _norm(seen), 0.0)
        """(n,) ‖x‖₂ of each sample, 0 where y = −1."""

    def with_noise(self, noise: Tensor, length: Tensor, level: Level) -> Candidate:
        """``x`` with the multiple of noise (n, …) that has the ratio of the level.

        It has it exactly where ``length`` (n,) is ‖noise‖₂. A sample without signal, with y = −1 or
        without noise stays as it is; its number "snr" is NaN, which leaves it out of means.
        """
        factor = self.norm / (10 ** (level.value / 20) * length)
        added = column(factor, self.x) * noise
        ratio = 20 * (self.norm / _norm(added)).log10()
        ratio = torch.where(ratio.isfinite(), ratio, torch.nan)
        return Candidate(level, self.x + self._unit * added, numbers={"snr": ratio})


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = vector_norm(x.flatten(1), dim=1)
    return norm
