"""Smoothness of label signals on the similarity graphs of a network's layers."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lapbench.methods.base.activations import observing_relus
from lapbench.methods.base.model import Model
from lapbench.methods.graph import Cosine, knn_graph

Power = Literal[1, 2, 3]
Neighbors = Annotated[int, Field(ge=1)] | Literal["all"]


def smoothness_by_depth(
    model: Model,
    x: Tensor,
    y: Tensor,
    power: Power,
    k: Neighbors = "all",
    reference_batch_size: int = 100,
) -> Tensor:
    """σ_ℓ · (b₀/b)^{m+1} at every ReLU layer in its order, shape (layers,).

    Inputs x (b', …) have classes y (b',), of which b are known (not −1).

    Source: label-smoothness paper, eq. 4 and 5.
    """
    by_depth: list[Tensor] = []
    with observing_relus(model, lambda _, after: by_depth.append(after)):
        model.features(x)
    # After the pass, as within it backbones may compute in bfloat16.
    values = [smoothness(after.to(x.dtype), y, power, k) for after in by_depth]
    scale = reference_batch_size / max(int((y >= 0).sum()), 1)
    return torch.stack(values) * scale ** (power + 1)


def smoothness(features: Tensor, labels: Tensor, power: Power, k: Neighbors = "all") -> Tensor:
    """The σ = tr(SᵀL^m S) of classes on the cosine graph of features, a scalar.

    L does not see the diagonal, so that of the full graph needs no matrix: with rows n_i of length
    1, LS = deg·S − N(NᵀS) and deg = N(Nᵀ1).

    Args:
        features: (n, …) non-negative, those after a ReLU.
        labels: (n,) classes; samples with −1 are left out of the graph.
        power: m.
        k: neighbours of every sample, joined if either is among the other's, or ``"all"``.

    Source: label-smoothness paper, eq. 1 and 4.

    """
    known = labels >= 0
    rows = features.flatten(1)[known]
    if len(rows) < 2:
        return 0 * rows.sum()
    signals = functional.one_hot(labels[known]).to(rows.dtype)
    if k == "all":
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        rows = rows / torch.where(norms > 0, norms, 1)
        degrees = rows @ rows.sum(dim=0)

        def laplacian_product(values: Tensor) -> Tensor:
            return degrees[:, None] * values - rows @ (rows.T @ values)
    else:
        laplacian_product = knn_graph(rows, k, Cosine()).laplacian_product  # Smoothness eq. 1
    half = signals
    for _ in range(power // 2):
        half = laplacian_product(half)
    return (half * (laplacian_product(half) if power % 2 else half)).sum()  # Smoothness eq. 4
