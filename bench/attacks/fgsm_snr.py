"""The fast gradient sign method at a stated signal-to-noise ratio."""

from collections.abc import Iterator
from math import sqrt

from torch import Tensor

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.quantities import Levels, Units
from lapbench.attacks.base.signal import Signal
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class FGSMSNR(Attack):
    """One step along the sign of the gradient, scaled to a signal-to-noise ratio.

    x'_i = x_i + ε_i sign ∇_x J(x_i, y_i) with ε_i = ‖x_i‖₂ / (10^(SNR/20) √d), J = −log p_y and d
    the number of values of a sample. Prefer it to ``fgsm`` to compare an adversary with noise of
    the same size (``gaussian-noise``).

    Where parts of a gradient are exactly 0, so are those of the step, and the measured "snr" is
    above the requested ratio. A sample that is 0, or has no gradient at all, stays as it is and is
    left out of the mean "snr".

    Args:
        snrs: in decibels, in increasing order: the first is the strongest.
        units: ``"input"`` adds the step before normalisation, ``"normalised"`` after it: step,
            ‖x‖₂ and ratio are then those of (x − mean)/σ.

    Source: label-smoothness paper, section 4.2.

    """

    snrs: Levels
    units: Units = "input"

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield the batch moved to each ratio."""
        signal = Signal(target, x, y, self.units)
        sign = target.gradient(x, y).sign()
        length = x.new_full((len(x),), sqrt(x[0].numel()))
        for snr in self.snrs:
            yield signal.with_noise(sign, length, Level("snr", snr, 1))
