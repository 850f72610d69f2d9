"""p-Laplace learning."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lapbench.methods.graph.equation import (
    Equation,
    Problem,
    check_tau,
    component_mean,
    constant_labels,
    dirichlet_problem,
)
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import LinearOperator, NonlinearOperator, Operator
from lapbench.methods.graph.status import Status, worst

_DELTA = 1e-4
_LARGEST_STEP_OF_P = 1.5


@dataclass(frozen=True)
class PLaplace(Equation):
    r"""p-Laplace learning: τu + div(|∇u|^{p−2} ∇u) = f off the labelled nodes, u = g on them.

    Prefer p > 2 with very few labels, where the values of Laplace learning are nearly constant
    with spikes at the labels. Each class is solved by itself (one against the rest; eq. 16 with
    vector norms is another problem for p ≠ 2), so rows do not sum to 1. |q|^{p−2} q is regularised:

    .. math:: \varphi(q) = (q^2 + \delta^2)^{(p-2)/2} q, \qquad \delta = 10^{-4}.

    Without δ it is not differentiable enough at 0 for p < 2; footnote 4 names only p = 1. For p > 2
    the adjoint would have no solution where u is constant. A class whose labels are constant in a
    component has constant values there, and the status is ``DEGENERATE``.

    The gradient agrees with finite differences to 1e-6 for p up to 5, and for p = 10 with
    τ >= 0.01. At p = 10 and τ = 0 the condition is near 1e10, and the gradient in the weight of a
    far edge may exceed the range of float32.

    Args:
        p: 1.5 <= p <= 10; p = 2 is Laplace learning.
        tau: τ >= 0.

    Raises:
        ValueError: if p or τ is out of range.

    Source: GLL paper, eq. 17, examples 1 and 2.

    """

    p: float
    tau: float = 0.0

    def __post_init__(self) -> None:
        check_tau(self.tau)
        if not 1.5 <= self.p <= 10:
            raise ValueError(f"p: received {self.p}; must be from 1.5 to 10")

    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Pose it with the labels as boundary values, and a path to it from p = 2."""
        operators: list[Operator] = [LinearOperator(self.tau)]
        operators += [_p_laplacian(p, delta, self.tau) for p, delta in _way_from_2(self.p)]
        decays = self.tau > 0
        problem = dirichlet_problem(graph, labels, labeled, source, operators, decays=decays)
        return problem if decays else _with_constants(problem, labels, labeled)


def _with_constants(problem: Problem, labels: Tensor, labeled: Tensor) -> Problem:
    """Give u where the labels are constant and no source acts."""
    component = problem.graph.components()
    nodes, at_labels = problem.graph.num_nodes, component[labeled]
    driven = torch.zeros_like(problem.source).index_add(0, component, problem.source.detach().abs())
    constant = constant_labels(labels, at_labels, nodes) & (driven == 0)
    if not bool(constant.any()):
        return problem
    means = component_mean(labels, at_labels, labels.new_ones(len(labels)))
    spread = torch.zeros_like(problem.given).index_put((at_labels,), means)
    constant = constant[component] & problem.free[:, None]
    given = torch.where(constant, spread[component], problem.given)
    status = worst([Status.DEGENERATE, problem.status])
    return replace(problem, given=given, constant=constant, status=status)


def _way_from_2(p: float) -> list[tuple[float, float]]:
    """(p, δ) of the problems on the path to p, each a good start for the next."""
    if p < 2:
        return [(p, delta) for delta in (1e-1, 1e-2, 1e-3, _DELTA)]
    steps = math.ceil(math.log(p / 2, _LARGEST_STEP_OF_P))
    return [(2 * (p / 2) ** (step / steps), _DELTA) for step in range(1, steps + 1)]


def _p_laplacian(p: float, delta: float, tau: float) -> NonlinearOperator:
    def phi(q: Tensor, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001 (a flux's signature)
        return (q**2 + delta**2) ** ((p - 2) / 2) * q  # GLL eq. 17

    def phi_derivative(q: Tensor, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
        return (q**2 + delta**2) ** ((p - 4) / 2) * ((p - 1) * q**2 + delta**2)

    return NonlinearOperator(
        phi,
        phi_derivative,
        tau=lambda u, x: tau * u,  # noqa: ARG005
        tau_derivative=lambda u, x: torch.full_like(u, tau),  # noqa: ARG005
    )
