"""Finite differences, dense solves of every graph equation, and base sets by definition."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

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


@dataclass(frozen=True)
class Problem:
    """What an equation is about: float64, the weights as a matrix w(x, y)."""

    weights: Tensor
    labels: Tensor
    labeled: Tensor
    source: Tensor

    @cached_property
    def is_labeled(self) -> Tensor:
        """Indicator (n, 1) of the labelled nodes."""
        return torch.zeros(len(self.weights), 1).bool().index_fill(0, self.labeled, True)

    @cached_property
    def unreached(self) -> Tensor:
        """Nodes (n, 1) that no label reaches, where τ = 0 leaves u to be the label mean."""
        indicators = dense_components(self.weights)
        return indicators @ indicators.T @ self.is_labeled.double() == 0

    @cached_property
    def targets(self) -> Tensor:
        """Labels (n, c) at the labelled nodes, and their mean elsewhere."""
        mean = self.labels.mean(dim=0).expand(len(self.weights), -1)
        return mean.index_put((self.labeled,), self.labels)


Residual = Callable[[Problem, Tensor], Tensor]
Reaction = Callable[[Tensor, Tensor], Tensor]


def linear(q: Tensor, *_: Tensor) -> Tensor:
    return q


def power(p: float) -> Flux:
    """φ of the p-Laplacian."""
    return lambda q, *_: (q**2 + 1e-8) ** ((p - 2) / 2) * q


def cubic(q: Tensor, *_: Tensor) -> Tensor:
    return q + q**3


def one_sided(q: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Depends on the nodes, and is not skew: φ(−q, y, x) ≠ −φ(q, x, y)."""
    return (1 + x % 3 + y % 2) * q + q**2


def reaction(values: Tensor, nodes: Tensor) -> Tensor:
    return values**3 + (1 + nodes % 2) * values


def boundary_problem(phi: Flux = linear, tau: float | Reaction = 0.0) -> Residual:
    """u = g on labelled nodes and τ(u) + Σ_y w φ = f off them."""

    def residual(problem: Problem, values: Tensor) -> Tensor:
        nodes = torch.arange(len(values))[:, None]
        reaction = tau(values, nodes) if callable(tau) else tau * values
        inner = reaction + dense_flux(problem.weights, values, phi) - problem.source
        fixed = problem.is_labeled
        if tau == 0:
            fixed = fixed | problem.unreached
        return torch.where(fixed, values - problem.targets, inner)

    return residual


def soft_constraint(strength: float, tau: float) -> Residual:
    def residual(problem: Problem, values: Tensor) -> Tensor:
        pull = strength * problem.is_labeled * (values - problem.targets)
        inner = tau * values + dense_flux(problem.weights, values, linear) + pull - problem.source
        fixed = problem.unreached & (tau == 0)
        return torch.where(fixed, values - problem.targets, inner)

    return residual


def poisson(by_degree: bool) -> Residual:
    """Of the equation and, added to it in every component, of the mean of u."""

    def residual(problem: Problem, values: Tensor) -> Tensor:
        weights, nodes = problem.weights, torch.ones(len(values), dtype=torch.float64)
        at_labels = component_means(weights, problem.targets, problem.is_labeled[:, 0].double())
        given = problem.source + problem.is_labeled * (problem.targets - at_labels)
        projected = given - component_means(weights, given, nodes)
        mean = component_means(weights, values, weights.sum(dim=1) if by_degree else nodes)
        return dense_flux(weights, values, linear) - projected + mean

    return residual


def wnll(subtracted: float) -> Residual:
    """Weights at the template are boosted, by |X|/|L| less a number, before they are added."""

    def residual(problem: Problem, values: Tensor) -> Tensor:
        excess = len(values) / len(problem.labels) - subtracted
        boost = 1 + excess * problem.is_labeled.double()
        combined = problem.weights + boost.T * problem.weights.T
        return boundary_problem()(replace(problem, weights=combined), values)

    return residual


def solve_densely(problem: Problem, path: list[Residual]) -> Tensor:
    """The solution (n, c) by Newton's method, along a path of easier equations."""
    values = problem.targets
    for residual in path:
        values = dense_root(lambda at, residual=residual: residual(problem, at), values)
    return values


def adjacency(neighbors: list[list[int]], labels: list[int]) -> list[set[int]]:
    """Rows of known class joined to each row, in either direction."""
    joined: list[set[int]] = [set() for _ in labels]
    for row, others in enumerate(neighbors):
        for other in others:
            if other != row and labels[row] >= 0 and labels[other] >= 0:
                joined[row].add(other)
                joined[other].add(row)
    return joined


def local_maxima(scores: list[float], joined: list[set[int]]) -> set[int]:
    """Rows not below any neighbour, the lower one of two that are adjacent."""
    maxima = [r for r in range(len(scores)) if all(scores[r] >= scores[o] for o in joined[r])]
    return {r for r in maxima if not any(o in joined[r] and o < r for o in maxima)}


def selected(
    labels: list[int], scores: list[float], count: int, preferred: set[int] | None = None
) -> list[int]:
    """The rows by definition: class by class, one after the other, the best that is left."""
    chosen: list[int] = []
    for label in {label for label in labels if label >= 0}:
        left = [row for row in range(len(labels)) if labels[row] == label]
        for _ in range(min(count, len(left))):
            first = [row for row in left if row in (preferred or ())] or left
            highest = max(scores[row] for row in first)
            best = min(row for row in first if scores[row] == highest)
            chosen.append(best)
            left.remove(best)
    return sorted(chosen)
