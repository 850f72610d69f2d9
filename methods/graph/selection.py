"""Choosing the nearest from approximate distances: compiled for processors, torch for GPUs.

In a search this is all but the matrix products. As torch operations on a processor it takes longer
than these; compiled, a fraction of them.
"""

import numpy as np
import torch
from torch import Tensor

from lapbench.methods.graph.compiled import Floats, Integers, compiled


def nearest_candidates(
    approximate: Tensor, features: Tensor, rows: Tensor, k: int, spare: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Select the nearest of each row, ordered by (distance of differences, index).

    The candidates are the k + s smallest approximations, or some more, of which the k nearest are
    kept. They stand in the groups of columns with the smallest minima, of which there are few:
    only those are searched.

    Args:
        approximate: (r, N') squared distances, infinite beyond the n nodes and at the row's own
            node; N' >= n is a multiple of 16.
        features: (n, d) float32 or float64.
        rows: (r,) the node of each row.
        k: neighbours, with k + s < n.
        spare: s >= 0.

    Returns:
        Indices (r, k), distances (r, k), and the approximation (r,) that no other column is below.

    """
    groups = 16 if approximate.shape[1] >= 4096 else 4
    minima = approximate.unflatten(1, (groups, -1)).amin(dim=1)
    if minima.shape[1] < 2 * (k + spare):
        minima = approximate
    if approximate.is_cuda:
        return _with_torch(approximate, minima, features, rows, k, spare)
    bound = np.partition(minima.numpy(), k + spare - 1, axis=1)[:, k + spare - 1]
    shape = len(rows), k
    indices, distances = torch.empty(shape, dtype=torch.int64), features.new_empty(shape)
    _compiled(
        approximate.numpy(),
        minima.numpy(),
        features.numpy(),
        rows.numpy(),
        indices.numpy(),
        distances.numpy(),
        bound,
    )
    return indices, distances, torch.from_numpy(bound)


def _with_torch(
    approximate: Tensor, minima: Tensor, features: Tensor, rows: Tensor, k: int, spare: int
) -> tuple[Tensor, Tensor, Tensor]:
    count, width = k + spare, minima.shape[1]
    grouped = approximate.unflatten(1, (-1, width))
    best = minima.topk(count, largest=False, sorted=False).indices
    members = grouped.gather(2, best[:, None].expand(-1, grouped.shape[1], -1)).flatten(1)
    smallest = members.topk(count, largest=False, sorted=False)
    columns = best.gather(1, smallest.indices % count) + width * (smallest.indices // count)
    columns = columns.sort(dim=1).values
    differences = features[columns] - features[rows, None]
    ordered, order = torch.linalg.vector_norm(differences, dim=2).sort(dim=1, stable=True)
    return columns.gather(1, order)[:, :k], ordered[:, :k], smallest.values.amax(dim=1)


@compiled("reassoc", "contract")
def _compiled(
    approximate: Floats,
    minima: Floats,
    features: Floats,
    rows: Integers,
    indices: Integers,
    distances: Floats,
    bound: Floats,
) -> None:
    """Fill in ``indices`` and ``distances`` with the nearest of the columns up to the bound."""
    width = minima.shape[1]
    for r in range(len(rows)):
        distances[r] = np.inf
        for column in range(width):
            if minima[r, column] > bound[r]:
                continue
            for node in range(column, approximate.shape[1], width):
                if approximate[r, node] <= bound[r]:
                    square = features.dtype.type(0)
                    for t in range(features.shape[1]):
                        square += (features[rows[r], t] - features[node, t]) ** 2
                    _insert(distances[r], indices[r], np.sqrt(square), node)


@compiled()
def _insert(distances: Floats, nodes: Integers, distance: float, node: int) -> None:
    """Insert into a list ordered by (distance, node), whose last drops out."""
    at = len(nodes) - 1
    if distances[at] < distance or (distances[at] == distance and nodes[at] < node):
        return
    while at > 0 and (
        distances[at - 1] > distance or (distances[at - 1] == distance and nodes[at - 1] > node)
    ):
        distances[at], nodes[at] = distances[at - 1], nodes[at - 1]
        at -= 1
    distances[at], nodes[at] = distance, node
