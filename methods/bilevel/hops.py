"""Distances in a graph, in edges."""

import torch
from torch import Tensor


def hops(edge_index: Tensor, num_nodes: int, sources: Tensor) -> Tensor:
    """For each node (n,) the least number of edges to one of the sources.

    It is float, and infinite where no path leads there.

    Args:
        edge_index: (2, E) undirected edges.
        num_nodes: n.
        sources: nodes at distance 0.

    """
    i, j = edge_index
    nearest = torch.full((num_nodes,), torch.inf, device=edge_index.device)
    nearest[sources] = 0
    distance, front = 0, nearest == 0
    while bool(front.any()):
        distance += 1
        front = (
            torch.zeros_like(front)
            .index_fill_(0, j[front[i]], True)
            .index_fill_(0, i[front[j]], True)
            & nearest.isinf()
        )
        nearest[front] = distance
    return nearest
