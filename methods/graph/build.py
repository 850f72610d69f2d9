"""From features to a similarity graph."""

import numpy as np
import torch
from torch import Tensor

from lapbench.methods.graph.knn import Backend, Neighbors, check_features, nearest_neighbors
from lapbench.methods.graph.laplacian import SimilarityGraph, Symmetrize, combine
from lapbench.methods.graph.sparse import squared_distances
from lapbench.methods.graph.weights import EdgeGeometry, Kernel, SelfTuning


def knn_graph(
    features: Tensor,
    k: int = 25,
    kernel: Kernel | None = None,
    backend: Backend = "exact",
    symmetrize: Symmetrize | None = "max",
) -> SimilarityGraph:
    """Connect every node to its k nearest neighbours; weights are differentiable in the features.

    Two nodes are joined when either is among the other's neighbours. Which nodes are joined is
    piecewise constant in the features and not differentiated; the weights are. Memory grows as
    n·k + n·d.

    Args:
        features: (n, d) floating point; float16 and bfloat16 are computed in float32.
        k: true neighbours per node; ``k >= n`` joins all nodes.
        kernel: weight of an edge; by default ``SelfTuning()``.
        backend: neighbour search, ``"exact"`` or ``"annoy"``.
        symmetrize: how w(i, j) and w(j, i) become one weight, 0 where j is no neighbour of i:
            ``"max"``, ``"mean"`` or ``"sum"``; None keeps both (a directed graph, for WNLL).

    Raises:
        NonFiniteError, ValueError, ImportError: as in :func:`nearest_neighbors`.

    Source: GLL paper, sections 2.1 and 3.2.

    """
    kernel = _checked(kernel)
    neighbors = nearest_neighbors(kernel.embed(check_features(features)), k, backend)
    return similarity_graph(features, neighbors, kernel, symmetrize)


def similarity_graph(
    features: Tensor,
    neighbors: Neighbors,
    kernel: Kernel | None = None,
    symmetrize: Symmetrize | None = "max",
) -> SimilarityGraph:
    """Graph of given neighbours; :func:`knn_graph` without the search.

    Args:
        features: (n, d) floating point.
        neighbors: of ``kernel.embed(features)``, with their distances.
        kernel: weight of an edge; by default ``SelfTuning()``.
        symmetrize: as in :func:`knn_graph`.

    Raises:
        ValueError: if features and neighbours do not belong together, or the kernel is not a
            ``Kernel``, or it returns negative weights or another shape.

    """
    kernel = _checked(kernel)
    features = kernel.embed(check_features(features))
    if len(neighbors.indices) != len(features):
        raise ValueError(
            f"neighbors: received those of {len(neighbors.indices)} nodes for {len(features)} "
            "rows of features; must be the neighbours of these rows"
        )
    nodes = torch.arange(len(features), device=features.device)[:, None]
    others = neighbors.indices
    keys = torch.minimum(nodes, others) * len(features) + torch.maximum(nodes, others)
    keys = keys.flatten()
    order = _argsort(keys)
    ordered = keys[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] > ordered[:-1]
    unique = ordered[first]
    edge_index = torch.stack([unique // len(features), unique % len(features)])
    neighbor_edges = torch.empty_like(order)
    neighbor_edges[order] = first.cumsum(0) - 1
    known = neighbors.distances.flatten()[order[first]].double().square()
    graph = SimilarityGraph(edge_index, known, len(features))
    squared = squared_distances(features, known, graph.pattern)
    geometry = EdgeGeometry(features, edge_index, squared, neighbor_edges.view_as(others))
    weights = kernel(geometry)
    if weights.shape not in (squared.shape, (2, len(squared))):
        raise ValueError(
            f"kernel: {kernel} returned weights of shape {tuple(weights.shape)} for "
            f"{len(squared)} edges; must be (E,) or (2, E)"
        )
    if not bool((weights.detach() >= 0).all()):
        raise ValueError(f"kernel: {kernel} returned a negative weight or NaN; must be >= 0")
    weights = weights.to(features.dtype)
    if symmetrize == "max" and weights.ndim == 1:
        return graph.with_weights(weights)
    chosen = torch.zeros_like(edge_index, dtype=torch.bool)
    chosen[(nodes > others).long().flatten(), neighbor_edges] = True
    return graph.with_weights(*combine(weights * chosen, symmetrize))


def _checked(kernel: Kernel | None) -> Kernel:
    if kernel is not None and not isinstance(kernel, Kernel):
        raise ValueError(f"kernel: received {kernel!r}; must be a Kernel, such as SelfTuning()")
    return kernel or SelfTuning()


def _argsort(keys: Tensor) -> Tensor:
    if keys.is_cuda:
        return keys.argsort()
    # On a processor NumPy's vectorised sort takes a third of the time of torch's.
    return torch.from_numpy(np.argsort(keys.numpy()))
