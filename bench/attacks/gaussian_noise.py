"""Isotropic noise at a stated signal-to-noise ratio."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor
from torch.linalg import vector_norm

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.quantities import Count, Knowledge, Levels, Units
from lapbench.attacks.base.signal import Signal
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class GaussianNoise(Attack):
    """Gaussian noise, scaled sample by sample to a signal-to-noise ratio.

    x' = x + n with n of uniform direction and ‖n‖₂ = ‖x‖₂ / 10^(SNR/20). So each sample has the
    ratio 20·log10(‖x‖₂/‖n‖₂) exactly, before it is clipped to the bounds. Prefer it to attacks to
    measure robustness to natural noise. On node tasks it is feature noise on the nodes to be
    classified.

    A sample that is 0 has no signal: it stays as it is and is left out of the mean "snr".

    Args:
        snrs: in decibels, in increasing order: the first is the strongest noise.
        draws: of noise, over which accuracy is averaged.
        units: ``"input"``, or ``"normalised"``: noise and ratio are those of (x − mean)/σ.

    Source: label-smoothness paper, section 4.1 (15 and 20 dB, 40 draws).

    """

    knowledge: ClassVar[Knowledge] = "chance"

    snrs: Levels
    draws: Count = 10
    units: Units = "input"

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the batch with each draw of noise, for each ratio."""
        signal = Signal(target, x, y, self.units)
        for snr in self.snrs:
            for _ in range(self.draws):
                noise = torch.randn_like(x)
                length = vector_norm(noise.flatten(1), dim=1)
                yield signal.with_noise(noise, length, Level("snr", snr))
