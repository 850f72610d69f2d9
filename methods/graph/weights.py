"""Kernels: the weight of an edge as a differentiable function of the features."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Kernel(Protocol):
    """Weights of undirected edges, differentiable in the features.

    Called with ``features`` (n, d), ``edge_index`` (2, E) and ``neighbors`` (n, k), the indices of
    each node's nearest neighbours with the nearest first; returns (E,) non-negative weights.
    """

    def __call__(self, features: Tensor, edge_index: Tensor, neighbors: Tensor) -> Tensor:
        """Return the weights (E,) of the edges."""
        ...


@dataclass(frozen=True)
class SelfTuning:
    r"""The radial basis function whose bandwidth adapts to the local density; the usual choice.

    .. math:: w_{ij} = \exp(-4 \|x_i - x_j\|^2 / (\varepsilon_i \varepsilon_j))

    with ε_i the distance of x_i to its k-th nearest neighbour, differentiated through. It is
    symmetric in i and j, so max(w_ij, w_ji) over the directed k-nearest-neighbour graph is this
    weight on the union of its edges. Where a bandwidth is 0 (k duplicates of a point) the weight
    takes its limit: 1 between duplicates, 0 otherwise, with zero gradient.

    Source: GLL paper, eq. 1. Its eq. 35 with η(z) = exp(−4z) would halve the exponent; the
    authors' code agrees with eq. 1.
    """

    def __call__(self, features: Tensor, edge_index: Tensor, neighbors: Tensor) -> Tensor:
        """Return the weights (E,) of the edges."""
        nodes = torch.arange(len(features), device=features.device)
        bandwidth = _safe_sqrt(_squared_distances(features, nodes, neighbors[:, -1]))
        i, j = edge_index
        return _radial_basis(_squared_distances(features, i, j), bandwidth[i] * bandwidth[j])


@dataclass(frozen=True)
class FixedBandwidth:
    r"""The radial basis function with one bandwidth; for features whose scale has a meaning.

    .. math:: w_{ij} = \exp(-4 \|x_i - x_j\|^2 / \varepsilon^2)

    Args:
        bandwidth: ε, from 1e-12 to 1e12, in the units of the features.

    Raises:
        ValueError: if the bandwidth is out of this range.

    Source: GLL paper, section 2.1; ε = 1 in its figure 3.

    """

    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        if not 1e-12 <= self.bandwidth <= 1e12:
            raise ValueError(
                f"bandwidth: received {self.bandwidth}; accepted is a number from 1e-12 to 1e12"
            )

    def __call__(
        self,
        features: Tensor,
        edge_index: Tensor,
        neighbors: Tensor,  # noqa: ARG002 (a kernel's signature)
    ) -> Tensor:
        """Return the weights (E,) of the edges."""
        i, j = edge_index
        return torch.exp(-4 * _squared_distances(features, i, j) / self.bandwidth**2)


def _squared_distances(features: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return (features[i] - features[j]).square().sum(dim=1)


def _safe_sqrt(squares: Tensor) -> Tensor:
    """Return the square root with gradient 0 (not infinity) at 0."""
    positive = squares > 0
    return torch.where(positive, squares, 1).sqrt() * positive


def _radial_basis(squared_distances: Tensor, scale: Tensor) -> Tensor:
    regular = scale > 0
    weights = torch.exp(-4 * squared_distances / torch.where(regular, scale, 1))
    limit = (squared_distances == 0).to(weights.dtype)
    return torch.where(regular, weights, limit)
