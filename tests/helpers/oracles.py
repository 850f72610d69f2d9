"""Independent answers that share no code with lapbench."""

from collections.abc import Callable

import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

Flux = Callable[[Tensor, Tensor, Tensor], Tensor]


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


def slopes(
    function: Callable[[Tensor], Tensor], at: Tensor, directions: Tensor, h: float = 1e-4
) -> Tensor:
    """Derivatives of a scalar function in directions (numel, r), by the same differences."""
    return finite_differences(
        lambda move: function(at + (directions @ move).view_as(at)),
        at.new_zeros(directions.shape[1]),
        h,
    )


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


def dense_matrix(
    edge_index: Tensor, weights: Tensor, nodes: int, weights_reverse: Tensor | None = None
) -> Tensor:
    """Matrix w(x, y) (n, n) of edges that stand once."""
    matrix = weights.new_zeros(nodes, nodes)
    i, j = edge_index
    matrix[i, j] = weights
    matrix[j, i] = weights if weights_reverse is None else weights_reverse
    return matrix


def dense_components(weights: Tensor) -> Tensor:
    """Indicators (n, components) of the connected components, float64."""
    # As 0 and 1, because SciPy takes entries near 0 of a dense matrix for none.
    joined = ((weights + weights.T) > 0).double().numpy()
    _, names = connected_components(joined, directed=False)
    return torch.nn.functional.one_hot(torch.from_numpy(names).long()).double()


def component_means(weights: Tensor, values: Tensor, measure: Tensor) -> Tensor:
    """Mean (n, c) of u over the component of each node by a measure (n,), 0 if that vanishes."""
    indicators = dense_components(weights)
    shares = measure[:, None] * indicators
    return indicators @ ((shares.T @ values) / shares.sum(dim=0).clamp_min(1e-99)[:, None])


def dense_flux(weights: Tensor, values: Tensor, phi: Flux) -> Tensor:
    """Σ_y w(x, y) ½[φ(q, x, y) − φ(−q, y, x)] at every node (n, c), with q = u(x) − u(y)."""
    nodes = torch.arange(len(weights))
    x, y = nodes[:, None, None], nodes[None, :, None]
    difference = values[:, None] - values[None]
    skew = (phi(difference, x, y) - phi(-difference, y, x)) / 2
    return (weights[:, :, None] * skew).sum(dim=1)


def dense_jacobian(residual: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Derivative (n·c, n·c) of a residual of u (n, c), by automatic differentiation."""
    rows = torch.autograd.functional.jacobian(residual, at, vectorize=True)
    return rows.reshape(at.numel(), at.numel())


def dense_root(residual: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """u with F(u) = 0, by Newton's method, a step halved until ‖F‖ falls; one step if linear."""
    values, error = start, residual(start)
    for _ in range(500):
        step = torch.linalg.solve(dense_jacobian(residual, values), error.reshape(-1))
        step = step.reshape(values.shape)
        if step.abs().max() <= 1e-13 * values.abs().max():
            return values - step
        trial = residual(values - step)
        while trial.norm() >= error.norm() and step.norm() > 1e-14 * values.norm():
            step = step / 2
            trial = residual(values - step)
        values, error = values - step, trial
    raise ArithmeticError(f"Newton's method left a residual of {float(error.norm()):g}")


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of the expected."""
    return float(((actual - expected).norm() / expected.norm()).detach())
