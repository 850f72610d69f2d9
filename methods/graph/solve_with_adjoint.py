"""Solving a graph equation, and its exact adjoint."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lapbench.methods.graph.equation import Equation, Problem
from lapbench.methods.graph.knn import NonFiniteError
from lapbench.methods.graph.laplace import Laplace
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.newton import newton
from lapbench.methods.graph.solve import LinearSystem
from lapbench.methods.graph.status import Status, worst

# Far below the rounding of float32: the gradient of a log loss spans eight orders of magnitude, and
# where u changes much, what is small in it counts as much as what is large.
_TOLERANCE, _TOLERANCE_FLOAT64 = 1e-10, 1e-12


@dataclass(frozen=True, eq=False)
class Solution:
    """Values (n, c) of a graph equation at every node, finite, with how the solve went.

    Attributes:
        values: u.
        status: how the solve ended; its ``value`` is a message that says what to do.
        iterations: of conjugate gradients, or Newton steps at the equation itself (not on the way
            to it); 0 for a direct solve.
        residual: ‖F(u)‖ relative to the terms that make it up, of the worst column.

    """

    values: Tensor
    status: Status
    iterations: int
    residual: float


def solve_graph_equation(
    graph: SimilarityGraph,
    labels: Tensor,
    labeled: Tensor,
    equation: Equation | None = None,
    source: Tensor | None = None,
) -> Solution:
    r"""Solve F(u, w) = f off the labelled nodes with u = g on them; differentiable, exactly.

    Gradients for the weights w, the labels g and the source f are those of the adjoint equation:
    with v = 0 on labelled nodes and :math:`(\partial_u F) v = \nabla_u J` elsewhere (eq. 23),

    .. math:: \nabla_w J = -v \cdot \partial_w F, \qquad \nabla_f J = v, \qquad
              \nabla_g J = \nabla_u J - v \cdot \partial_g F.

    For Laplace learning and one weight shared by both directions the first is −∇u·∇v summed over
    the classes; eq. 24 alone is the derivative for w(x, y) with w(y, x) held fixed, and eq. 32 and
    33 are twice its symmetrised average. The adjoint matrix is the matrix of the linearised
    equation, so its factor is used again. The gradient is not differentiable a second time. Solves
    are float64 inside.

    A node without a path to a labelled one has no defined value if τ = 0. It takes the mean of the
    labels, with the gradient of that mean, and the status is ``DISCONNECTED``. :class:`Poisson` and
    :class:`SoftConstraint` say what they do with labels.

    Args:
        graph: n nodes; float32 or float64 weights.
        labels: g, (m, c) finite real numbers, one-hot rows for classification.
        labeled: (m,) distinct int64 node indices; m = 0 only where u is unique without labels.
        equation: by default ``Laplace(tau=0.0)``.
        source: f, (n, c) finite real numbers, ignored on Dirichlet nodes; by default 0.

    Returns:
        The solution in the dtype of the weights, whatever its status.

    Raises:
        NonFiniteError: if a label, a source or a needed value of a user's function is NaN or
            infinite.
        ValueError: if shapes do not fit; if an index is out of range or repeated; if there are too
            few labels for a unique u; or if a directed graph is given to an undirected equation.

    Warns:
        RuntimeWarning: in the backward pass, if the adjoint solve ends with a status other than
            ``CONVERGED``.

    Source: GLL paper, section 3.1, eq. 19 to 26.

    """
    equation = equation or Laplace()
    if not isinstance(equation, Equation):
        raise ValueError(f"equation: received {equation!r}; must be an Equation, such as Laplace()")
    _check_labels(graph, labels, labeled)
    if graph.weights_reverse is not None and not equation.directed:
        raise ValueError(
            f"graph: received weights_reverse (a directed graph) for {equation}, which is defined "
            "on symmetric weights; build the graph with symmetrize='max', 'mean' or 'sum'"
        )
    source = _check_source(graph, labels, source)
    reverse = graph.weights_reverse
    double = graph.with_weights(
        graph.weights.double(), None if reverse is None else reverse.double()
    )
    problem = equation.pose(double, labels.double(), labeled, source)
    is_double = graph.weights.dtype == torch.float64
    solution = _solve(problem, _TOLERANCE_FLOAT64 if is_double else _TOLERANCE)
    return replace(solution, values=solution.values.to(graph.weights.dtype))


def _solve(problem: Problem, tolerance: float) -> Solution:
    graph, acts = problem.graph, problem.free[:, None]
    if problem.constant is not None:
        acts = acts & ~problem.constant
    with torch.no_grad():
        values = problem.given
        for operator in problem.operators:
            step, system = newton(operator, graph, problem.source, values, problem.free, tolerance)
            values = step.values
    approximate = torch.where(acts, values, problem.given)
    residual = operator.residual(graph, approximate) - problem.source
    implicit: Tensor = _ImplicitSolution.apply(residual, values, system)  # type: ignore[no-untyped-call]
    values = problem.finish(torch.where(acts, implicit, problem.given))
    status = worst([step.status, problem.status])
    return Solution(values, status, step.iterations, step.residual)


class _ImplicitSolution(torch.autograd.Function):
    """The identity on a solution u of F(u) = 0, whose backward pass is the adjoint solve."""

    @staticmethod
    def forward(
        ctx: Any,
        residual: Tensor,  # noqa: ARG004 (F(u), through which the gradient goes on)
        values: Tensor,
        system: LinearSystem,
    ) -> Tensor:
        ctx.system = system
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        adjoint = ctx.system.solve(gradient)  # GLL eq. 23
        if adjoint.status is not Status.CONVERGED:
            message = f"adjoint of the graph equation {adjoint.status.value}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return -adjoint.values, None, None  # GLL eq. 25


def _check_labels(graph: SimilarityGraph, labels: Tensor, labeled: Tensor) -> None:
    if labels.ndim != 2 or labeled.shape != labels.shape[:1] or labels.shape[1] < 1:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} with labeled of shape {tuple(labeled.shape)}: "
            "must be (m, c) and (m,) with c >= 1"
        )
    if labels.is_complex():
        raise ValueError(f"labels: received {labels.dtype}; must be real numbers")
    if labeled.dtype != torch.int64:
        raise ValueError(f"labeled: received {labeled.dtype}; must be torch.int64 indices")
    if bool(((labeled < 0) | (labeled >= graph.num_nodes)).any()):
        raise ValueError(f"labeled: an index is outside the nodes 0..{graph.num_nodes - 1}")
    if len(labeled.unique()) < len(labeled):
        raise ValueError("labeled: an index is repeated; each node has one label")
    _check_finite(labels, "labels")


def _check_source(graph: SimilarityGraph, labels: Tensor, source: Tensor | None) -> Tensor:
    shape = (graph.num_nodes, labels.shape[1])
    if source is None:
        return torch.zeros(shape, dtype=torch.float64, device=labels.device)
    if source.shape != shape:
        raise ValueError(
            f"source: received shape {tuple(source.shape)}; must be {shape}, a row for every "
            "node and a column for every column of labels"
        )
    _check_finite(source, "source")
    return source.double()


def _check_finite(values: Tensor, name: str) -> None:
    finite = values.isfinite().all(dim=1)
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0, 0])
        raise NonFiniteError(f"{name}: row {first} holds NaN or infinity")
