"""Nearest neighbours: the first step of every similarity graph."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lapbench.methods.graph.approximate import annoy_neighbors
from lapbench.methods.graph.selection import nearest_candidates

Backend = Literal["exact", "annoy"]

_SPARE = 4
_NUMBERS_ON_CPU = 1 << 19
_NUMBERS_ON_GPU = 1 << 26


class NonFiniteError(ValueError):
    """Features or labels hold NaN or infinity, as after a training step that diverged."""


@dataclass(frozen=True)
class Neighbors:
    """``k`` nearest neighbours of every node, nearest first; never the node itself.

    Attributes:
        indices: (n, k) int64.
        distances: (n, k) Euclidean distances in the dtype of the features, not differentiable.
        recall: share of the true neighbours among them, where it was asked for.

    """

    indices: Tensor
    distances: Tensor
    recall: float | None = None


def nearest_neighbors(
    features: Tensor, k: int, backend: Backend = "exact", recall_sample: int = 0
) -> Neighbors:
    """Find the k nearest neighbours of every row in Euclidean distance.

    Prefer ``backend="exact"``: it is deterministic, and approximate neighbours change both the
    graph and the gradients through it. ``"annoy"`` is what the GLL paper used; it is there to
    reproduce that choice and has to be installed with ``pip install "lapbench[annoy]"``. It misses
    more neighbours the more nodes there are: ask for its recall.

    Laws: distances are those of the differences of rows, so exact duplicates have distance 0;
    equal distances are ordered by index; ``k >= n`` gives the ``n - 1`` other nodes.

    Args:
        features: (n, d) floating point; float16 and bfloat16 are computed in float32.
        k: number of neighbours, a node itself not counted, at least 1.
        backend: ``"exact"`` or ``"annoy"``.
        recall_sample: on how many nodes to measure the recall against exact search; 0 for none.

    Raises:
        NonFiniteError: if a feature is NaN or infinite, or a distance overflows.
        ValueError: if the features are not a floating-point matrix, k < 1, fewer than two nodes
            are given, the backend is unknown, or annoy returned too few neighbours.
        ImportError: if annoy is asked for and not installed.

    Source: GLL paper, section 2.1, whose k = 25 counts the node itself and so is 24 here.

    """
    features = check_features(features).detach().contiguous()
    nodes = features.shape[0]
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k: received {k!r}; must be an integer >= 1")
    if not isinstance(recall_sample, int) or recall_sample < 0:
        raise ValueError(f"recall_sample: received {recall_sample!r}; must be an integer >= 0")
    if nodes < 2:
        raise ValueError(f"features: received {nodes} row(s); neighbours need at least 2 rows")
    k = min(k, nodes - 1)
    if backend not in ("exact", "annoy"):
        raise ValueError(f"backend: received {backend!r}; must be 'exact' or 'annoy'")
    if backend == "exact":
        neighbors = _exact(features, torch.arange(nodes, device=features.device), k)
    else:
        indices = annoy_neighbors(features, k).sort(dim=1).values
        # Annoy works in float32, and its own distances are not those of the features.
        distances = _distances(features, torch.arange(nodes, device=features.device), indices)
        distances, order = distances.sort(dim=1, stable=True)
        neighbors = Neighbors(indices.gather(1, order), distances)
    if not neighbors.distances.square().isfinite().all():
        raise NonFiniteError(
            f"features: distances overflow {features.dtype} (largest feature "
            f"{float(features.abs().max()):.3g}); lower the learning rate or scale the features"
        )
    if recall_sample:
        recall = neighbor_recall(features, neighbors, recall_sample)
        neighbors = replace(neighbors, recall=recall)
    return neighbors


def check_features(features: Tensor) -> Tensor:
    """Features as float32 or float64; an error names a row that is not finite."""
    if features.ndim != 2 or not features.is_floating_point():
        raise ValueError(
            f"features: received shape {tuple(features.shape)} of {features.dtype}; must be a "
            "floating-point matrix (n, d); flatten images first"
        )
    if features.dtype in (torch.float16, torch.bfloat16):
        features = features.float()
    # A sum is finite only if its terms are, and takes a fraction of the time.
    if features.detach().sum().isfinite():
        return features
    finite = features.isfinite().all(dim=1)
    if not finite.all():
        first = int((~finite).nonzero()[0, 0])
        raise NonFiniteError(
            f"features: {int((~finite).sum())} of {len(finite)} rows hold NaN or infinity, the "
            f"first is row {first}; lower the learning rate or check the inputs"
        )
    return features


def neighbor_recall(features: Tensor, neighbors: Neighbors, sample: int) -> float:
    """Share of the true neighbours among these, on a sample of the nodes.

    Args:
        features: (n, d), those that were searched.
        neighbors: result of the search.
        sample: number of nodes, drawn with a fixed seed; all of them if n is smaller.

    """
    nodes, k = neighbors.indices.shape
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(nodes, generator=generator)[:sample].to(features.device)
    true = _exact(features.detach(), rows, k).indices
    hits = (true[:, :, None] == neighbors.indices[rows, None]).any(dim=2)
    return float(hits.double().mean())


def _exact(features: Tensor, rows: Tensor, k: int) -> Neighbors:
    """Search by matrix products, whose rounding is bounded; where it might matter, more exactly.

    Distances are those of differences always, or duplicates would not have distance 0.
    """
    nearest = _empty(features, len(rows), k)
    unsure = torch.arange(len(rows), device=rows.device)
    for dtype in dict.fromkeys([features.dtype, torch.float64]):
        if len(unsure) and k + _SPARE < len(features):
            again, certain = _by_products(features.to(dtype), rows[unsure], k)
            nearest.indices[unsure] = again.indices
            nearest.distances[unsure] = again.distances.to(features.dtype)
            unsure = unsure[~certain]
            if len(unsure):
                copied = _fill_in_copies(features, rows[unsure], nearest, unsure)
                unsure = unsure[~copied]
    if len(unsure):
        again = _by_differences(features, rows[unsure], k)
        nearest.indices[unsure], nearest.distances[unsure] = again.indices, again.distances
    return nearest


def _fill_in_copies(features: Tensor, rows: Tensor, nearest: Neighbors, places: Tensor) -> Tensor:
    """Fill in, at these places, rows with more than k copies; return which (r,) they were.

    Their neighbours are the first k other copies, and no distance is needed; searching among
    thousands of ties would take longer than all else.
    """
    k = nearest.indices.shape[1]
    _, kind, copies = features.unique(dim=0, return_inverse=True, return_counts=True)
    copied: Tensor = copies[kind[rows]] > k
    order = kind.argsort(stable=True)
    start = copies.cumsum(0) - copies
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order), device=order.device) - start[kind[order]]
    chosen = rows[copied]
    offset = torch.arange(k, device=rows.device)
    # The row itself is left out.
    offset = offset + (offset >= position[chosen, None]).long()
    nearest.indices[places[copied]] = order[start[kind[chosen], None] + offset]
    nearest.distances[places[copied]] = 0
    return copied


def _empty(features: Tensor, rows: int, k: int) -> Neighbors:
    indices = torch.empty(rows, k, dtype=torch.int64, device=features.device)
    return Neighbors(indices, features.new_empty(rows, k))


def _by_products(features: Tensor, rows: Tensor, k: int) -> tuple[Neighbors, Tensor]:
    """Search some rows; return also whether each has certainly the nearest."""
    centered = features - features.mean(dim=0)
    norms = centered.square().sum(dim=1)
    rounding = torch.finfo(features.dtype).eps * (features.shape[1] + 8)
    size = min(_rows_per_chunk(features, len(features), at_least=64), len(rows))
    # Whole groups of 16 columns, for the selection.
    products = features.new_full((size, -(-len(features) // 16) * 16), torch.inf)
    result, certain = _empty(features, len(rows), k), torch.zeros_like(rows, dtype=torch.bool)
    if not (4 * norms.max()).isfinite():
        return result, certain
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        chunk = rows[part]
        approximate = products[: len(chunk)]
        to_nodes = approximate[:, : len(features)]
        torch.addmm(norms, centered[chunk], centered.T, alpha=-2, out=to_nodes)
        approximate.scatter_(1, chunk[:, None], torch.inf)
        indices, distances, farthest = nearest_candidates(approximate, features, chunk, k, _SPARE)
        # All others are at least this far, by the bound on the rounding of sums of d products.
        others = farthest + norms[chunk] - rounding * (norms[chunk] + norms.max())
        certain[part] = distances[:, -1] ** 2 < others
        result.indices[part], result.distances[part] = indices, distances
    return result, certain


def _distances(features: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """Distances (r, c) of rows (r,) to others (r, c), by differences."""
    distances = features.new_empty(others.shape)
    size = _rows_per_chunk(features, 2 * others.shape[1] * features.shape[1], at_least=1)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        differences = features.index_select(0, others[part].flatten())
        differences = differences.view(-1, others.shape[1], features.shape[1])
        differences -= features[rows[part], None]
        torch.linalg.vector_norm(differences, dim=2, out=distances[part])
    return distances


def _by_differences(features: Tensor, rows: Tensor, k: int) -> Neighbors:
    """Search some rows by the distances of differences to all nodes."""
    nearest = _empty(features, len(rows), k)
    size = _rows_per_chunk(features, len(features), at_least=1)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        chunk = features[rows[part]]
        exact = torch.cdist(chunk, features, compute_mode="donot_use_mm_for_euclid_dist")
        exact.scatter_(1, rows[part, None], torch.inf)
        ordered, order = exact.sort(dim=1, stable=True)
        nearest.indices[part], nearest.distances[part] = order[:, :k], ordered[:, :k]
    return nearest


def _rows_per_chunk(features: Tensor, numbers_per_row: int, at_least: int) -> int:
    """Rows to take at a time, so that they fit a processor's cache or fill a GPU."""
    return max(
        at_least, (_NUMBERS_ON_GPU if features.is_cuda else _NUMBERS_ON_CPU) // numbers_per_row
    )
