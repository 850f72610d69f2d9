"""The similarity graph and its Laplacian."""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from lapbench.methods.graph.sparse import EdgePattern, laplacian_product

CONNECTS_ABOVE = 1e-20

REPEATED = "is repeated; add up or drop the repeated weights"

Symmetrize = Literal["max", "mean", "sum"]


@dataclass(frozen=True, eq=False)
class SimilarityGraph:
    """A weighted graph, in which each pair of joined nodes is one edge.

    Attributes:
        edge_index: (2, E) int64 with ``edge_index[0] < edge_index[1]``, every edge unique.
        weights: (E,) finite and non-negative, may require gradients: w(i, j) for i < j. An edge
            connects if its weight is above 1e-20 of the largest. Through a weaker edge the adjoint
            would be lost in rounding, even in float64.
        num_nodes: n.
        weights_reverse: (E,) w(j, i) of a directed graph, 0 where absent; None if the graph is
            undirected, w(j, i) = w(i, j).

    Raises:
        ValueError: if an edge is a self-loop, in the wrong order, out of range or repeated, or a
            weight is negative, NaN or infinite; the message names the first offender.

    """

    edge_index: Tensor
    weights: Tensor
    num_nodes: int
    weights_reverse: Tensor | None = None

    def __post_init__(self) -> None:
        edges = self.edge_index
        if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype != torch.int64:
            raise ValueError(
                f"edge_index: received shape {tuple(edges.shape)} of {edges.dtype}; must be "
                "(2, E) of torch.int64"
            )
        self._check_weights()
        i, j = edges
        keys = i * self.num_nodes + j
        self._refuse((i < 0) | (j >= self.num_nodes), f"must join nodes 0..{self.num_nodes - 1}")
        self._refuse(i == j, "is a self-loop; leave it out, the Laplacian does not see it")
        self._refuse(i > j, "is in the wrong order; give each undirected edge once with i < j")
        if not bool((keys[1:] > keys[:-1]).all()):
            self._refuse(_is_repeated(keys), REPEATED)

    def _check_weights(self) -> None:
        for name in ("weights", "weights_reverse"):
            weights = getattr(self, name)
            if name == "weights_reverse" and weights is None:
                continue
            if weights.shape != self.edge_index.shape[1:] or not weights.is_floating_point():
                raise ValueError(
                    f"{name}: received shape {tuple(weights.shape)} of {weights.dtype} for "
                    f"{self.edge_index.shape[1]} edges; must be one floating-point weight per "
                    "edge"
                )
            detached = weights.detach()
            self._refuse(~(detached >= 0) | detached.isinf(), "must be finite and >= 0", weights)

    def _refuse(self, wrong: Tensor, why: str, weights: Tensor | None = None) -> None:
        _refuse(wrong, why, self.edge_index, self.weights if weights is None else weights)

    @classmethod
    def from_directed(
        cls,
        edge_index: Tensor,
        weights: Tensor,
        num_nodes: int,
        symmetrize: Symmetrize | None = "max",
    ) -> "SimilarityGraph":
        """Graph of directed edges in torch_geometric's layout: (i, j) and (j, i) apart.

        Args:
            edge_index: (2, E) int64, every directed edge once, in any order.
            weights: (E,) w(i, j), may require gradients.
            num_nodes: n.
            symmetrize: how w(i, j) and w(j, i) become one weight, an absent one being 0:
                ``"max"``, ``"mean"`` or ``"sum"``; None keeps both.

        Raises:
            ValueError: if an edge is a self-loop, out of range or repeated, or a weight is not
                finite and non-negative.

        """
        if edge_index.ndim != 2 or len(edge_index) != 2 or weights.shape != edge_index.shape[1:]:
            raise ValueError(
                f"edge_index of shape {tuple(edge_index.shape)} with weights of shape "
                f"{tuple(weights.shape)}: must be (2, E) and (E,)"
            )
        i, j = edge_index
        wrong = ((edge_index < 0) | (edge_index >= num_nodes)).any(dim=0)
        _refuse(wrong, f"must be between nodes 0..{num_nodes - 1}", edge_index, weights)
        wrong = ~(weights.detach() >= 0) | weights.detach().isinf()
        _refuse(wrong, "must be finite and >= 0", edge_index, weights)
        keys = torch.minimum(i, j) * num_nodes + torch.maximum(i, j)
        unique, edge = keys.unique(return_inverse=True)
        slots = (i > j).long() * len(unique) + edge
        _refuse(_is_repeated(slots), REPEATED, edge_index, weights)
        both = weights.new_zeros(2 * len(unique)).index_put((slots,), weights).view(2, -1)
        undirected = torch.stack([unique // num_nodes, unique % num_nodes])
        combined, reverse_weights = combine(both, symmetrize)
        return cls(undirected, combined, num_nodes, reverse_weights)

    def with_weights(
        self, weights: Tensor, weights_reverse: Tensor | None = None
    ) -> "SimilarityGraph":
        """The graph with other weights on the same edges."""
        other = copy.copy(self)
        object.__setattr__(other, "weights", weights)
        object.__setattr__(other, "weights_reverse", weights_reverse)
        other._check_weights()
        return other

    @cached_property
    def pattern(self) -> EdgePattern:
        """The places of the edges in a symmetric sparse matrix."""
        return EdgePattern(self.edge_index, self.num_nodes)

    def degrees(self) -> Tensor:
        """Degrees deg(x) = Σ_y w_xy, shape (n,)."""
        degrees = self.weights.new_zeros(self.num_nodes)
        for end in self.edge_index:
            degrees = degrees.index_add(0, end, self.weights)
        return degrees

    def laplacian_product(self, values: Tensor) -> Tensor:
        """Δu(x) = Σ_y w_xy (u(x) − u(y)) for u of shape (n, c); GLL paper, eq. 9."""
        return laplacian_product(self.weights, values, self.pattern)

    def components(self) -> Tensor:
        """Connected component (n,) of every node, named by its lowest node."""
        weights = self.weights.detach().double()
        largest = weights.max() if len(weights) else 0.0
        return self.pattern.components(weights > CONNECTS_ABOVE * largest)


def _refuse(wrong: Tensor, why: str, edge_index: Tensor, weights: Tensor) -> None:
    """Name the first of the wrong edges (E,)."""
    if wrong.any():
        first = int(wrong.nonzero()[0, 0])
        i, j = edge_index[:, first].tolist()
        raise ValueError(
            f"edge {first} = ({i}, {j}) of weight {weights[first].item():g} {why} "
            f"({int(wrong.sum())} such edge(s))"
        )


def _is_repeated(keys: Tensor) -> Tensor:
    """Which keys (E,) have an equal one before them."""
    ordered, order = keys.sort(stable=True)
    repeated = torch.zeros_like(keys, dtype=torch.bool)
    repeated[order[1:]] = ordered[1:] == ordered[:-1]
    return repeated


def combine(both: Tensor, symmetrize: Symmetrize | None) -> tuple[Tensor, Tensor | None]:
    """Weights and reverse weights from the rows w(i, j) and w(j, i) of (2, E)."""
    if symmetrize is None:
        return both[0], both[1]
    if symmetrize == "max":
        return both.amax(dim=0), None
    if symmetrize in ("mean", "sum"):
        return both.sum(dim=0) / (2 if symmetrize == "mean" else 1), None
    raise ValueError(f"symmetrize: received {symmetrize!r}; must be 'max', 'mean', 'sum' or None")
