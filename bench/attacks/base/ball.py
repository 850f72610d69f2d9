"""The inputs that an attack may choose from."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from lapbench.attacks.base.loss import column
from lapbench.attacks.base.quantities import Norm


@dataclass(frozen=True, eq=False)
class Ball:
    """Inputs within ε of x (n, …), in the bounds if there are any.

    ‖(x' − x)/scale‖ ≤ ε for each sample, in the norm ℓ∞ or ℓ2; the scale (1, …) is 1 for ε in units
    of the input, and the standard deviation for normalised units.

    Raises:
        ValueError: if the norm is neither.

    """

    x: Tensor
    epsilon: float
    norm: Norm
    bounds: tuple[float, float] | None
    scale: Tensor

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise ValueError(f"norm: received {self.norm!r}; must be 'linf' or 'l2'")

    def project(self, x: Tensor) -> Tensor:
        """Inputs (n, …) moved into the ball, then into the bounds.

        As the centre is within the bounds, the second does not leave the ball.
        """
        if self.norm == "linf":
            radius = self.epsilon * self.scale
            inside = x.clamp(self.x - radius, self.x + radius)
        else:
            moved = (x - self.x) / self.scale
            length = _length(moved).clamp_min(torch.finfo(x.dtype).tiny)
            inside = self.x + moved * (self.epsilon / length).clamp_max(1) * self.scale
        return inside if self.bounds is None else inside.clamp(*self.bounds)

    def random(self) -> Tensor:
        """A random input of the ball for each sample, by torch's generator.

        Uniform in ℓ∞ before the bounds; in ℓ2 of uniform direction and uniform volume.
        """
        if self.norm == "linf":
            moved = self.epsilon * (2 * torch.rand_like(self.x) - 1)
        else:
            direction = torch.randn_like(self.x)
            volume = column(torch.rand_like(self.x.flatten(1)[:, 0]), self.x)
            radius = self.epsilon * volume ** (1 / self.x[0].numel())
            moved = direction * (radius / _length(direction))
        return self.project(self.x + moved * self.scale)

    def step(self, gradient: Tensor, size: float) -> Tensor:
        """The steepest ascent (n, …) of length ``size``; 0 where the gradient is.

        size · sign(g) in ℓ∞ and size · g/‖g‖ in ℓ2, in units of the scale.
        """
        gradient = gradient * self.scale
        if self.norm == "linf":
            return size * gradient.sign() * self.scale
        # By the largest value first: squares of tiny or huge ones leave the floating-point range.
        largest = column(gradient.flatten(1).abs().amax(dim=1), gradient)
        direction = torch.where(largest > 0, gradient / largest, 0.0)
        length = _length(direction).clamp_min(1)
        return size * direction / length * self.scale


def deviation(x: Tensor) -> Tensor:
    """The standard deviation (1, …) of inputs (n, …): ε in normalised units is ε times it.

    Per channel for images and per coordinate for vectors, as backbones normalise; 1 where it is 0.
    """
    deviations = x.std(dim=(0, *range(2, x.ndim)), keepdim=True, correction=0)
    return torch.where(deviations > 0, deviations, 1)


def _length(moved: Tensor) -> Tensor:
    return column(vector_norm(moved.flatten(1), dim=1), moved)
