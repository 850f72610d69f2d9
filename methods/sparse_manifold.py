"""Sparse manifold and Hamming regularisation."""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lapbench.datasets.base.validated import validated
from lapbench.methods.base.activations import count_relus, observing_relus
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model

_EPSILON_RAMP = (0.10, 0.35)
_GAMMA_RAMP = (0.20, 0.80)

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@validated
class SparseManifold(Term):
    r"""Sparse manifold regularisation: outputs and ReLU patterns alike at opposite corners.

    For every sample one random corner ρ ∈ {±ε}^d is drawn, and x⁺ = x + ρ, x⁻ = x − ρ (not
    clipped). With ẑ_ℓ the d_ℓ inputs of the ℓ-th of L ReLU layers, the penalty is the mean over the
    samples of

    .. math:: \gamma_I \|f(x^+) - f(x^-)\|^2 + \frac{\gamma_H}{L} \sum_\ell
        \frac{\| \tanh(\alpha \hat z_\ell^+) - \tanh(\alpha \hat z_\ell^-) \|_2}{2 d_\ell}.

    f are logits, or the values of a graph head, of x⁺ and x⁻ each in a batch of its own. As α → ∞ a
    layer gives √(number of differing signs)/d_ℓ. Prefer it for robustness in small ℓ∞ balls at a
    fixed cost; strengths depend on network and data.

    Args:
        gamma_intrinsic: final γ_I; 0 leaves the Hamming term alone.
        gamma_hamming: final γ_H; 0 leaves the intrinsic term alone.
        epsilon: final ε, in units of the input.
        alpha: α, how sharply activation patterns are compared.
        power: 2 takes the squared norm of a layer, 2·count/d_ℓ in the limit.
        epsilon_start: share of ε at the start; grows linearly over 10 to 35 % of the epochs.
        gamma_start: share of both γ at the start; grows linearly over 20 to 80 % of the epochs.

    Source: sparse-manifold paper, sections 5.3 and 5.4, appendix B: there ε = 8/255 from a share of
    ¼, final γ_I = 4 to 8 and γ_H = 24,000 to 90,000 from a share of 1/10, for large networks.

    """

    gamma_intrinsic: NonNegative = 0.1
    gamma_hamming: NonNegative = 100.0
    epsilon: Positive = 8 / 255
    alpha: Positive = 8.0
    power: Literal[1, 2] = 1
    epsilon_start: Annotated[float, Field(gt=0, le=1)] = 0.25
    gamma_start: Annotated[float, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _check(self) -> "SparseManifold":
        if self.gamma_intrinsic == self.gamma_hamming == 0:
            raise ValueError("gamma_intrinsic, gamma_hamming: received 0 and 0; one must be > 0")
        return self

    def skip(self, model: Model) -> str | None:
        """A reason where there is no ReLU for the Hamming term."""
        if self.gamma_hamming > 0 and count_relus(model) == 0:
            return "sparse_manifold: the network has no nn.ReLU; set gamma_hamming = 0"
        return None

    def penalty(self, model: Model, x: Tensor, y: Tensor, share_of_epochs: float) -> Tensor:  # noqa: ARG002
        """The penalty of a mini-batch; labels play no part."""
        epsilon = self.epsilon * _ramp(share_of_epochs, self.epsilon_start, _EPSILON_RAMP)
        corner = random_corner(x, epsilon)
        pair = torch.cat([x + corner, x - corner])  # Manifold section 5.4
        distances: list[Tensor] = []
        if self.gamma_hamming > 0:
            before: list[Tensor] = []
            with observing_relus(model, lambda z, _: before.append(z)):
                features = model.features(pair)
            distances = [hamming(z.to(x.dtype), self.alpha, self.power) for z in before]
        else:
            features = model.features(pair)
        total = self.gamma_hamming * sum(distances, x.new_zeros(())) / max(len(distances), 1)
        if self.gamma_intrinsic > 0:
            plus, minus = (model.outputs(half) for half in features.chunk(2))
            # Manifold eq. 7
            total = total + self.gamma_intrinsic * (plus - minus).square().sum(dim=1).mean()
        return _ramp(share_of_epochs, self.gamma_start, _GAMMA_RAMP) * total


def random_corner(x: Tensor, epsilon: float) -> Tensor:
    """The ρ ∈ {±ε}^d for every sample, from torch's generator, in the shape of x."""
    return epsilon * (2.0 * torch.randint_like(x, 2) - 1)


def hamming(pairs: Tensor, alpha: float, power: Literal[1, 2]) -> Tensor:
    """The relaxed Hamming distance within pairs at one layer, the mean over the pairs.

    ``pairs`` (2n, …) are the inputs ẑ of a ReLU layer, first the n of x⁺, then those of x⁻.

    ‖tanh(α ẑ⁺) − tanh(α ẑ⁻)‖₂ / 2d, or the square of the norm over 2d; where the two are equal the
    gradient is 0.
    """
    plus, minus = torch.tanh(alpha * pairs).flatten(1).chunk(2)
    difference = plus - minus
    squares = difference.square().sum(dim=1)
    if power == 1:
        positive = squares > 0
        squares = torch.where(positive, squares, 1).sqrt() * positive
    distance: Tensor = squares.mean() / (2 * difference.shape[1])  # Manifold section 5.3
    return distance


def _ramp(share_of_epochs: float, start: float, interval: tuple[float, float]) -> float:
    """A share that grows linearly from ``start`` to 1 over an interval of the epochs."""
    low, high = interval
    done = min(max((share_of_epochs - low) / (high - low), 0.0), 1.0)
    return start + (1 - start) * done
