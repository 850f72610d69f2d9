"""Graphs whose edge weights are learned, and what keeps their gradients from vanishing."""

from typing import Literal

import numpy as np
import torch
from scipy.sparse import coo_array, eye_array
from torch import Tensor, nn

GraphKind = Literal["observed", "edges", "g2g"]

_HIDDEN = 32


class Observed(nn.Module):
    """The observed graph: all edges have the weight 1."""

    def forward(self, features: Tensor, edge_index: Tensor) -> Tensor:
        """The 1 for every edge (E,)."""
        return features.new_ones(edge_index.shape[1])


class Refined(nn.Module):
    """Edge refinement: a weight σ(θ) for each edge, θ uniform in [0, 1) at the start.

    ``directed`` gives each direction its own: the weights are then (2, E), A_ij above A_ji.
    """

    def __init__(self, num_edges: int, directed: bool) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.rand((2, num_edges) if directed else num_edges))

    def forward(self, features: Tensor, edge_index: Tensor) -> Tensor:  # noqa: ARG002
        """σ(θ)."""
        return self.theta.sigmoid()

    def of_edges(self, own: Tensor, edges: Tensor, num_nodes: int) -> nn.Parameter:
        """The θ of those of its own edges (2, E) that are among others (2, E')."""
        kept = torch.isin(own[0] * num_nodes + own[1], edges[0] * num_nodes + edges[1])
        return nn.Parameter(self.theta.detach()[..., kept], requires_grad=False)


class GraphToGraph(nn.Module):
    """G2G: the weight of an edge is a function of its ends' features, α((X_i − X_j)²).

    α is a network with two hidden layers of 32 and a sigmoid at the end, so that labels anywhere
    teach every edge, and new nodes have weights too.

    Source: bilevel paper, section 5, eq. 4, and section 6.
    """

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(feature_size, _HIDDEN)
        self.second = nn.Linear(_HIDDEN, _HIDDEN)
        self.last = nn.Linear(_HIDDEN, 1)

    def forward(self, features: Tensor, edge_index: Tensor) -> Tensor:
        """α((X_i − X_j)²) (E,) in (0, 1)."""
        i, j = edge_index
        squares = (features.index_select(0, i) - features.index_select(0, j)).square()
        # Not nn.ReLU: terms observe the ReLU layers of the backbone alone.
        hidden = torch.relu(self.second(torch.relu(self.first(squares))))
        return torch.sigmoid(self.last(hidden)[:, 0])  # Bilevel eq. 4


def make_graph(kind: GraphKind, num_edges: int, feature_size: int, directed: bool) -> nn.Module:
    """The module that gives the edge weights."""
    if kind == "observed":
        return Observed()
    return GraphToGraph(feature_size) if kind == "g2g" else Refined(num_edges, directed)


def within_hops(edge_index: Tensor, num_nodes: int, power: int) -> Tensor:
    """The edges (2, E') between all nodes that at most ``power`` edges part, i < j."""
    if power == 1:
        return edge_index
    i, j = edge_index.cpu().numpy()
    ones = np.ones(len(i), dtype=bool)
    adjacent = coo_array((ones, (i, j)), (num_nodes, num_nodes)).tocsr()
    step = adjacent + adjacent.T + eye_array(num_nodes, dtype=bool)
    reached = step
    for _ in range(power - 1):
        before, reached = reached.nnz, reached @ step
        if reached.nnz == before:
            break
    first, second = reached.nonzero()
    pairs = np.stack([first, second])[:, first < second].astype(np.int64)
    return torch.from_numpy(pairs[:, np.lexsort(pairs[::-1])]).to(edge_index.device)


def degree_penalty(weights: Tensor, edge_index: Tensor, num_nodes: int) -> Tensor:
    """−mean log Σ_j A_ij over the nodes that have an edge, a scalar.

    It is another source of hypergradients than the labels, on every edge. The paper prints the sum
    over the nodes; the authors' code and its γ = 1 are for the mean.

    Source: bilevel paper, section 5; Kalofolias, "How to learn a graph from smooth signals", 2016.
    """
    both = weights if weights.ndim == 2 else torch.stack([weights, weights])
    degrees = weights.new_zeros(num_nodes)
    for end, values in zip(edge_index, both, strict=True):
        degrees = degrees.index_add(0, end, values)
    has_edge = edge_index.flatten().unique()
    return -degrees[has_edge].log().mean() if len(has_edge) else degrees.sum()  # Bilevel section 5


def undirected_weights(weights: Tensor) -> Tensor:
    """One weight an edge (E,): the mean of both directions where they differ."""
    return weights.mean(dim=0) if weights.ndim == 2 else weights
