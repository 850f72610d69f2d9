"""Independent answers that share no code with lapbench."""

from collections.abc import Callable

import torch
from torch import Tensor


def finite_differences(function: Callable[[Tensor], Tensor], at: Tensor, h: float = 1e-4) -> Tensor:
    """Gradient of a scalar function by central differences of fourth order."""
    gradient = torch.zeros_like(at)
    for index in range(at.numel()):
        step = torch.zeros_like(at)
        step.view(-1)[index] = h
        near = function(at + step) - function(at - step)
        far = function(at + 2 * step) - function(at - 2 * step)
        gradient.view(-1)[index] = (8 * near - far) / (12 * h)
    return gradient


def dense_weights(features: Tensor, k: int, bandwidth: float | str) -> Tensor:
    """W (n, n) of the symmetrised k-nearest-neighbour graph, by loops over nodes."""
    nodes = len(features)
    differences = features[:, None] - features[None]
    squared = (differences**2).sum(dim=2)
    order = squared.detach()
    neighbors = []
    for node in range(nodes):
        others = [other for other in range(nodes) if other != node]
        others.sort(key=lambda other: (float(order[node, other]), other))
        neighbors.append(others[:k])
    if bandwidth == "self-tuning":
        epsilon = torch.stack([squared[i, neighbors[i][-1]].sqrt() for i in range(nodes)])
        weights = torch.exp(-4 * squared / (epsilon[:, None] * epsilon[None]))
    else:
        weights = torch.exp(-4 * squared / float(bandwidth) ** 2)
    directed = torch.zeros_like(weights)
    for node in range(nodes):
        directed[node, neighbors[node]] = weights[node, neighbors[node]]
    return torch.maximum(directed, directed.T)


def dense_solution(weights: Tensor, labels: Tensor, tau: float) -> Tensor:
    """u (n - m, c) of τu + Δu = 0 with the first m nodes labelled, by a general dense solve."""
    labeled = len(labels)
    laplacian = torch.diag(weights.sum(dim=1)) - weights
    system = laplacian + tau * torch.eye(len(weights), dtype=weights.dtype)
    return torch.linalg.solve(system[labeled:, labeled:], -system[labeled:, :labeled] @ labels)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of the expected."""
    return float((found - expected).norm() / expected.norm())
