"""The similarity graph and its Laplacian."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lapbench.methods.graph.knn import Backend, check_features, nearest_neighbors
from lapbench.methods.graph.weights import Kernel, SelfTuning

CONNECTS_ABOVE = 1e-20


@dataclass(frozen=True, eq=False)
class SimilarityGraph:
    """An undirected weighted graph; each edge stands once.

    Attributes:
        edge_index: (2, E) int64 with ``edge_index[0] < edge_index[1]``, every edge unique.
        weights: (E,) finite and non-negative, may require gradients. An edge connects if its
            weight is above 1e-20 of the largest; the adjoint through a weaker one is lost in
            rounding even in float64 (it is of the size of the weight's inverse, and its error of
            that times 1e-32).
        num_nodes: n.

    Raises:
        ValueError: if an edge is a self-loop, in the wrong order, out of range or repeated, or a
            weight is negative, NaN or infinite; the message names the first offender.

    """

    edge_index: Tensor
    weights: Tensor
    num_nodes: int

    def __post_init__(self) -> None:
        edges, weights = self.edge_index, self.weights
        if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype != torch.int64:
            raise ValueError(
                f"edge_index: received shape {tuple(edges.shape)} of {edges.dtype}; accepted is "
                "(2, E) of torch.int64"
            )
        if weights.shape != edges.shape[1:] or not weights.is_floating_point():
            raise ValueError(
                f"weights: received shape {tuple(weights.shape)} of {weights.dtype} for "
                f"{edges.shape[1]} edges; accepted is one floating-point weight per edge"
            )
        i, j = edges
        self._refuse((i < 0) | (j >= self.num_nodes), f"accepted are nodes 0..{self.num_nodes - 1}")
        self._refuse(i == j, "is a self-loop; leave it out, the Laplacian does not see it")
        self._refuse(i > j, "is in the wrong order; give each undirected edge once with i < j")
        self._refuse(~(weights.detach() >= 0) | weights.detach().isinf(), "must be finite and >= 0")
        order = (i * self.num_nodes + j).argsort(stable=True)
        ordered = edges[:, order]
        repeated = torch.zeros_like(i, dtype=torch.bool)
        repeated[order[1:]] = (ordered[:, 1:] == ordered[:, :-1]).all(dim=0)
        self._refuse(repeated, "stands twice; add up or drop the repeated weights")

    def _refuse(self, wrong: Tensor, why: str) -> None:
        if wrong.any():
            first = int(wrong.nonzero()[0, 0])
            i, j = self.edge_index[:, first].tolist()
            raise ValueError(
                f"edge {first} = ({i}, {j}) of weight {self.weights[first].item():g} {why} "
                f"({int(wrong.sum())} such edge(s))"
            )

    def degrees(self) -> Tensor:
        """Return deg(x) = Σ_y w_xy, shape (n,)."""
        degrees = self.weights.new_zeros(self.num_nodes)
        for end in self.edge_index:
            degrees = degrees.index_add(0, end, self.weights)
        return degrees

    def laplacian_product(self, values: Tensor) -> Tensor:
        """Return Δu(x) = Σ_y w_xy (u(x) − u(y)) for u of shape (n, c); GLL paper, eq. 9."""
        i, j = self.edge_index
        flux = self.weights[:, None] * (values[i] - values[j])
        return torch.zeros_like(values).index_add(0, i, flux).index_add(0, j, -flux)

    def reached_from(self, sources: Tensor) -> Tensor:
        """Return which nodes (n,) have a path of connecting edges to one of the sources."""
        weights = self.weights.detach().double()
        largest = weights.max() if len(weights) else 0.0
        i, j = self.edge_index[:, weights > CONNECTS_ABOVE * largest]
        reached = torch.zeros(self.num_nodes, dtype=torch.bool, device=self.weights.device)
        reached[sources] = True
        count = -1
        while count != (count := int(reached.sum())):
            reached[j[reached[i]]] = True
            reached[i[reached[j]]] = True
        return reached


def knn_graph(
    features: Tensor,
    k: int = 25,
    kernel: Kernel | None = None,
    backend: Backend = "exact",
) -> SimilarityGraph:
    """Connect every node to its k nearest neighbours; weights are differentiable in the features.

    Two nodes are joined when either is among the other's neighbours. Which nodes are joined is
    piecewise constant in the features and not differentiated; the weights are.

    Args:
        features: (n, d) floating point; float16 and bfloat16 are computed in float32.
        k: true neighbours per node; ``k >= n`` joins all nodes.
        kernel: weight of an edge; by default ``SelfTuning()``.
        backend: neighbour search, ``"exact"`` or ``"annoy"``.

    Raises:
        NonFiniteError, ValueError, ImportError: as in :func:`nearest_neighbors`.

    Source: GLL paper, sections 2.1 and 3.2.

    """
    features = check_features(features)
    neighbors = nearest_neighbors(features, k, backend).indices
    nodes = torch.arange(len(features), device=features.device)[:, None].expand_as(neighbors)
    pairs = torch.minimum(nodes, neighbors) * len(features) + torch.maximum(nodes, neighbors)
    unique = pairs.unique()
    edge_index = torch.stack([unique // len(features), unique % len(features)])
    weights = (kernel or SelfTuning())(features, edge_index, neighbors)
    return SimilarityGraph(edge_index, weights, len(features))
