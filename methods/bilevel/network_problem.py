"""The inner problem of bilevel learning that trains a graph network."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lapbench.methods.bilevel.hops import hops
from lapbench.methods.graph.constant import ConstantMatrix

_SPARSE_BELOW = 0.1


class GraphNetwork(nn.Module):
    """A backbone for nodes with a linear classifier."""

    def __init__(self, backbone: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.linear = nn.Linear(int(backbone.feature_size), num_classes)  # type: ignore[arg-type]

    def forward(
        self, x: Tensor | ConstantMatrix, edge_index: Tensor, edge_weight: Tensor
    ) -> Tensor:
        """Scores (n, c)."""
        scores: Tensor = self.linear(self.backbone(x, edge_index, edge_weight))
        return scores


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """All that the scores at some nodes depend on, where the network reaches k hops.

    A network of k layers that adds up over neighbours has the same scores there as on the whole
    graph; by Theorem 3.1 of the bilevel paper, no other edge has a hypergradient.

    Attributes:
        nodes: those within k hops, ascending.
        positions: where the wanted nodes stand among them.
        edges: numbers of the edges that have an end less than k hops away.
        edge_index: these edges, by positions.
        x: features of the nodes; sparse where few are not 0.

    """

    nodes: Tensor
    positions: Tensor
    edges: Tensor
    edge_index: Tensor
    x: Tensor | ConstantMatrix

    def scores(self, network: Any, weights: Tensor) -> Tensor:
        """The scores of the wanted nodes under weights (E,) or (2, E) of all edges."""
        there = weights.index_select(-1, self.edges)
        scores: Tensor = network(self.x, self.edge_index, there)
        return scores.index_select(0, self.positions)


def neighborhood(wanted: Tensor, x: Tensor, edge_index: Tensor, reach: int | None) -> Neighborhood:
    """What the scores at ``wanted`` nodes depend on; without a reach, the whole graph."""
    i, j = edge_index
    distance = hops(edge_index, len(x), wanted)
    if reach is None:
        distance, reach = torch.zeros_like(distance), 1
    nodes = (distance <= reach).nonzero()[:, 0]
    edges = (torch.minimum(distance[i], distance[j]) < reach).nonzero()[:, 0]
    position = torch.full((len(x),), -1, device=x.device)
    position[nodes] = torch.arange(len(nodes), device=x.device)
    part: Tensor | ConstantMatrix = x[nodes]
    if not x.requires_grad and float((x != 0).double().mean()) < _SPARSE_BELOW:
        part = ConstantMatrix(x[nodes])
    return Neighborhood(nodes, position[wanted], edges, position[edge_index[:, edges]], part)


@dataclass(frozen=True, eq=False)
class NetworkProblem:
    """Training a graph network on the nodes V_tr by cross-entropy.

    Source: bilevel paper, eq. 2.
    """

    around: Neighborhood
    labels: Tensor

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise ValueError("V_tr: received no node; must be one labelled inner node or more")

    def energy(self, network: Any, weights: Tensor) -> Tensor:
        """The mean cross-entropy on V_tr under edge weights."""
        # Bilevel eq. 2
        return functional.cross_entropy(self.around.scores(network, weights), self.labels)
