"""Approximate neighbours with annoy, as the GLL paper used it."""

import torch
from torch import Tensor

_TREES = 10


def annoy_neighbors(features: Tensor, k: int) -> Tensor:
    """Indices (n, k) of k neighbours of every row; most are among the k nearest.

    Raises:
        ImportError: if annoy is not installed.
        ValueError: if annoy returned too few neighbours.

    """
    try:
        from annoy import AnnoyIndex
    except ImportError as error:
        raise ImportError(
            'backend="annoy" needs the package annoy: pip install "lapbench[annoy]" '
            "(it is compiled on installation and needs a C++ compiler)"
        ) from error
    index = AnnoyIndex(features.shape[1], "euclidean")
    index.set_seed(1)
    # Annoy works in float32: centred and scaled, squares neither overflow nor vanish.
    centered = features.double() - features.double().mean(dim=0)
    scaled = centered / centered.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    for node, row in enumerate(scaled.float().cpu().numpy()):
        index.add_item(node, row)
    index.build(_TREES, n_jobs=1)
    rows = []
    for node in range(len(features)):
        neighbors = [other for other in index.get_nns_by_item(node, k + 1) if other != node][:k]
        if len(neighbors) < k:
            raise ValueError(
                f"annoy returned {len(neighbors)} of {k} neighbours of node {node}; "
                'use backend="exact" or a smaller k'
            )
        rows.append(neighbors)
    return torch.tensor(rows, device=features.device)
