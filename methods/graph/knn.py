"""Nearest neighbours: the first step of every similarity graph."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["exact", "annoy"]

_ROWS_PER_CHUNK = 1024
_SPARE = 8
_ANNOY_TREES = 10


class NonFiniteError(ValueError):
    """Features or labels hold NaN or infinity, as after a training step that diverged."""


@dataclass(frozen=True)
class Neighbors:
    """The k nearest neighbours of every node, nearest first; never the node itself.

    Attributes:
        indices: (n, k) int64.
        distances: (n, k) Euclidean distances in the dtype of the features, not differentiable.

    """

    indices: Tensor
    distances: Tensor


def nearest_neighbors(features: Tensor, k: int, backend: Backend = "exact") -> Neighbors:
    """Find the k nearest neighbours of every row in Euclidean distance.

    Prefer ``backend="exact"``: it is deterministic, and approximate neighbours change both the
    graph and the gradients through it. ``"annoy"`` is what the GLL paper used; it is there to
    reproduce that choice and has to be installed with ``pip install "lapbench[annoy]"``.

    Laws: distances are those of the differences of rows, so exact duplicates have distance 0;
    equal distances are ordered by index; ``k >= n`` gives the ``n - 1`` other nodes.

    Args:
        features: (n, d) floating point; float16 and bfloat16 are computed in float32.
        k: number of neighbours, a node itself not counted, at least 1.
        backend: ``"exact"`` or ``"annoy"``.

    Raises:
        NonFiniteError: if a feature is NaN or infinite, or a distance overflows.
        ValueError: if the features are not a floating-point matrix, k < 1, fewer than two nodes
            are given, the backend is unknown, or annoy returned too few neighbours.
        ImportError: if annoy is asked for and not installed.

    Source: GLL paper, section 2.1, whose k = 25 counts the node itself and so is 24 here.

    """
    features = check_features(features).detach()
    nodes = features.shape[0]
    if k < 1:
        raise ValueError(f"k: received {k}; a graph needs at least 1 neighbour per node")
    if nodes < 2:
        raise ValueError(f"features: received {nodes} row(s); neighbours need at least 2 rows")
    k = min(k, nodes - 1)
    if backend not in ("exact", "annoy"):
        raise ValueError(f"backend: received {backend!r}; accepted are 'exact' and 'annoy'")
    neighbors = _exact(features, k) if backend == "exact" else _annoy(features, k)
    if not neighbors.distances.isfinite().all():
        raise NonFiniteError(
            f"features: distances overflow {features.dtype} (largest feature "
            f"{float(features.abs().max()):.3g}); lower the learning rate or scale the features"
        )
    return neighbors


def check_features(features: Tensor) -> Tensor:
    """Return features as float32 or float64, or say which row cannot be used."""
    if features.ndim != 2 or not features.is_floating_point():
        raise ValueError(
            f"features: received shape {tuple(features.shape)} of {features.dtype}; accepted is a "
            "floating-point matrix (n, d); flatten images first"
        )
    if features.dtype in (torch.float16, torch.bfloat16):
        features = features.float()
    finite = features.isfinite().all(dim=1)
    if not finite.all():
        first = int((~finite).nonzero()[0, 0])
        raise NonFiniteError(
            f"features: {int((~finite).sum())} of {len(finite)} rows hold NaN or infinity, the "
            f"first is row {first}; lower the learning rate or check the inputs"
        )
    return features


def _exact(features: Tensor, k: int) -> Neighbors:
    """Search by matrix products, whose rounding is bounded; where it might matter, by differences.

    Distances are those of differences always, or duplicates would not have distance 0.
    """
    nodes = torch.arange(len(features), device=features.device)
    candidates = k + _SPARE
    if candidates >= len(features):
        return _by_differences(features, nodes, k)
    centered = features - features.mean(dim=0)
    chunks = nodes.split(_ROWS_PER_CHUNK)
    found = [_by_products(features, centered, rows, k, candidates) for rows in chunks]
    indices, distances, certain = (torch.cat(parts) for parts in zip(*found, strict=True))
    if not certain.all():
        again = _by_differences(features, nodes[~certain], k)
        indices[~certain], distances[~certain] = again.indices, again.distances
    return Neighbors(indices, distances)


def _by_products(
    features: Tensor, centered: Tensor, rows: Tensor, k: int, candidates: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return indices, distances, and whether they are certainly the nearest, for some rows."""
    norms = centered.square().sum(dim=1)
    approximate = norms[rows, None] + norms - 2 * centered[rows] @ centered.T
    approximate[torch.arange(len(rows), device=rows.device), rows] = torch.inf
    nearest = approximate.topk(candidates, largest=False)
    indices = nearest.indices.sort(dim=1).values
    distances = torch.linalg.vector_norm(features[rows, None] - features[indices], dim=2)
    ordered, order = distances.sort(dim=1, stable=True)
    # All others are at least this far, by the bound on the rounding of sums of d products.
    rounding = torch.finfo(features.dtype).eps * (features.shape[1] + 8)
    others = nearest.values[:, -1] - rounding * (norms[rows] + norms.max())
    certain = ordered[:, k - 1] ** 2 < others
    return indices.gather(1, order)[:, :k], ordered[:, :k], certain


def _by_differences(features: Tensor, rows: Tensor, k: int) -> Neighbors:
    """Search some rows by the distances of differences to all nodes."""
    indices, distances = [], []
    for chunk in rows.split(_ROWS_PER_CHUNK):
        exact = torch.cdist(features[chunk], features, compute_mode="donot_use_mm_for_euclid_dist")
        exact[torch.arange(len(chunk), device=rows.device), chunk] = torch.inf
        ordered, order = exact.sort(dim=1, stable=True)
        indices.append(order[:, :k])
        distances.append(ordered[:, :k])
    return Neighbors(torch.cat(indices), torch.cat(distances))


def _annoy(features: Tensor, k: int) -> Neighbors:
    try:
        from annoy import AnnoyIndex
    except ImportError as error:
        raise ImportError(
            'backend="annoy" needs the package annoy: pip install "lapbench[annoy]" '
            "(it is compiled on installation and needs a C++ compiler)"
        ) from error
    index = AnnoyIndex(features.shape[1], "euclidean")
    index.set_seed(1)
    for node, row in enumerate(features.cpu().numpy()):
        index.add_item(node, row)
    index.build(_ANNOY_TREES, n_jobs=1)
    found = []
    for node in range(len(features)):
        neighbors = [other for other in index.get_nns_by_item(node, k + 1) if other != node][:k]
        if len(neighbors) < k:
            raise ValueError(
                f"annoy returned {len(neighbors)} of {k} neighbours of node {node}; "
                'use backend="exact" or a smaller k'
            )
        found.append(neighbors)
    indices = torch.tensor(found, device=features.device)
    # Annoy works in float32, and its own distances are not those of the features.
    distances = (features[:, None, :] - features[indices]).norm(dim=2)
    order = distances.argsort(dim=1, stable=True)
    return Neighbors(indices.gather(1, order), distances.gather(1, order))
