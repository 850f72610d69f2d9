"""Kernels: the weight of an edge as a differentiable function of distances."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class EdgeGeometry:
    """Features and distances for a kernel, differentiable in the features.

    Attributes:
        features: (n, d), as ``Kernel.embed`` returned them.
        edge_index: (2, E) int64, i < j.
        squared_distances: (E,) float64 ‖x_i − x_j‖² along the edges; their ratios would leave the
            range of float32.
        neighbor_edges: (n, k) int64, the edge from each node to its neighbours, nearest first.

    """

    features: Tensor
    edge_index: Tensor
    squared_distances: Tensor
    neighbor_edges: Tensor

    def neighbor_distance(self, rank: int) -> Tensor:
        """Distance (n,) of every node to its neighbour of this rank; rank 1 is the nearest.

        Where it is 0 (duplicates) its gradient is 0. A rank of −1 is the farthest neighbour.

        Raises:
            ValueError: if nodes have fewer neighbours.

        """
        k = self.neighbor_edges.shape[1]
        if rank > k:
            raise ValueError(
                f"rank: received {rank} with {k} neighbours per node; give the graph a k of at "
                f"least {rank}, or the kernel a rank of at most {k}"
            )
        column = rank - 1 if rank > 0 else rank
        edges = self.neighbor_edges[:, column]
        return _safe_sqrt(self.squared_distances.index_select(0, edges))  # GLL eq. 36


class Kernel(ABC):
    """Weights of edges; a frozen dataclass of its parameters."""

    def embed(self, features: Tensor) -> Tensor:
        """Features (n, d) between which distances are taken; unchanged by default."""
        return features

    @abstractmethod
    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        """Non-negative weights, (E,) if w(i, j) = w(j, i), else both as (2, E)."""


@dataclass(frozen=True)
class Radial(Kernel):
    r"""A user's function of the distance in units of the local density.

    .. math:: w_{ij} = \eta(\|x_i - x_j\|^2 / (\varepsilon_i \varepsilon_j))

    with ε_i the distance of x_i to its k-th nearest neighbour, differentiated through. It is
    symmetric in i and j. Where a bandwidth is 0 (k duplicates of a point) the argument of η is 0
    between duplicates and infinite otherwise, both with zero gradient.

    Args:
        eta: η, an elementwise torch function, non-negative, with a limit at infinity.

    Source: GLL paper, eq. 35 without the factor 2 that its eq. 1 and the authors' code do not have.

    """

    eta: Callable[[Tensor], Tensor]

    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        """Weights (E,) of the edges."""
        bandwidth = geometry.neighbor_distance(-1)
        i, j = geometry.edge_index
        scale = bandwidth.index_select(0, i) * bandwidth.index_select(0, j)
        return self.eta(_ratio(geometry.squared_distances, scale))  # GLL eq. 35


@dataclass(frozen=True)
class SelfTuning(Kernel):
    r"""The radial basis function whose bandwidth adapts to the local density; the usual choice.

    .. math:: w_{ij} = \exp(-4 \|x_i - x_j\|^2 / (\varepsilon_i \varepsilon_j))

    with ε_i the distance of x_i to its k-th nearest neighbour, differentiated through. It is
    symmetric in i and j, so max(w_ij, w_ji) over the directed k-nearest-neighbour graph is this
    weight on the union of its edges. Where a bandwidth is 0 (k duplicates of a point) the weight
    takes its limit: 1 between duplicates, 0 otherwise, with zero gradient.

    Source: GLL paper, eq. 1. Its eq. 35 with η(z) = exp(−4z) would halve the exponent; the
    authors' code agrees with eq. 1.
    """

    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        """Weights (E,) of the edges."""
        return Radial(lambda ratio: torch.exp(-4 * ratio))(geometry)  # GLL eq. 1


@dataclass(frozen=True)
class FixedBandwidth(Kernel):
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
            raise ValueError(f"bandwidth: received {self.bandwidth}; must be from 1e-12 to 1e12")

    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        """Weights (E,) of the edges."""
        return torch.exp(-4 * geometry.squared_distances / self.bandwidth**2)


@dataclass(frozen=True)
class NeighborBandwidth(Kernel):
    r"""The Gaussian whose bandwidth is the distance to the n-th neighbour: a directed weight.

    .. math:: w(x, y) = \exp(-\|x - y\|^2 / \sigma_x^2)

    Prefer it for the weighted nonlocal Laplacian, with ``symmetrize=None``; the paper's
    (m, n) = (30, 15) count the node itself and are k = 29 and rank 14. Where σ_x is 0 the weight
    takes its limit: 1 between duplicates, 0 otherwise.

    Args:
        rank: n >= 1, at most the k of the graph.

    Raises:
        ValueError: if the rank is not an integer >= 1, or is above k.

    Source: WNLL paper, section 2.1 and remark 1.

    """

    rank: int = 15

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"rank: received {self.rank!r}; must be an integer >= 1")

    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        """Weights w(i, j) and w(j, i) of the edges, (2, E)."""
        bandwidth = geometry.neighbor_distance(self.rank)[geometry.edge_index]
        return torch.exp(-_ratio(geometry.squared_distances.expand(2, -1), bandwidth**2))


@dataclass(frozen=True)
class Cosine(Kernel):
    r"""The cosine of the angle between features, 0 where it is negative.

    .. math:: w_{ij} = \max(0, x_i \cdot x_j / (\|x_i\| \|x_j\|))

    Prefer it for non-negative features, such as those after a ReLU, whose length has no meaning.
    Neighbours are the nearest in angle. A row of zeros has weight 0 to all others.

    Source: label-smoothness paper, section II.
    """

    def embed(self, features: Tensor) -> Tensor:
        """Features with rows of length 1."""
        return functional.normalize(features, dim=1)

    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        """Weights (E,) of the edges."""
        i, j = geometry.edge_index
        norms = geometry.features.double().square().sum(dim=1)
        twice = norms.index_select(0, i) + norms.index_select(0, j) - geometry.squared_distances
        # Below the rounding of the distances a cosine cannot be told from 0.
        rounding = 16 * torch.finfo(geometry.features.dtype).eps
        return torch.where(twice > rounding, twice / 2, 0)


def _safe_sqrt(squares: Tensor) -> Tensor:
    """Square root with gradient 0 (not infinity) at 0."""
    positive = squares > 0
    return torch.where(positive, squares, 1).sqrt() * positive


def _ratio(squared_distances: Tensor, scale: Tensor) -> Tensor:
    """Ratio; where one of both is 0 its limit, 0 or infinity, with zero gradient."""
    apart = squared_distances > 0
    regular = apart & (scale > 0)
    limit = torch.where(apart, torch.inf, 0.0)
    return torch.where(regular, squared_distances / torch.where(regular, scale, 1), limit)
