"""What each graph equation means, by dense matrices; float64 on the CPU."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from oracles import Flux, component_means, dense_components, dense_flux, dense_root
from torch import Tensor


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
