"""The graph equation with labels as boundary values, and its exact adjoint."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lapbench.methods.graph.knn import NonFiniteError
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.solve import (
    ConjugateGradients,
    DenseCholesky,
    LinearSolution,
    Status,
    prepare,
)


@dataclass(frozen=True)
class Laplace:
    """Laplace learning: τu + Δu = 0 off the labelled nodes, u = g on them.

    The first choice for classification. τ = 0 interpolates (maximum principle: u stays between
    the labels, rows of one-hot labels sum to 1); τ > 0 makes u decay away from the labels, which
    clusters learned features more tightly, and rows no longer sum to 1.

    Args:
        tau: τ >= 0.

    Raises:
        ValueError: if τ is negative or not finite.

    Source: GLL paper, eq. 10 and section 2.4 (the ℓ¹ norm in its eq. 15 is a misprint for ℓ²).

    """

    tau: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.tau < float("inf"):
            raise ValueError(f"tau: received {self.tau}; accepted is a finite number >= 0")

    def residual(self, graph: SimilarityGraph, values: Tensor) -> Tensor:
        """Return τu + Δu at every node, (n, c), differentiable in the weights and in u."""
        return self.tau * values + graph.laplacian_product(values)


@dataclass(frozen=True, eq=False)
class Solution:
    """Values (n, c) of a graph equation at every node, with how the solve went."""

    values: Tensor
    status: Status
    iterations: int
    residual: float


def solve_graph_equation(
    graph: SimilarityGraph, labels: Tensor, labeled: Tensor, equation: Laplace | None = None
) -> Solution:
    r"""Solve F(u, w) = 0 off the labelled nodes with u = g on them; differentiable, exactly.

    Gradients for the weights w and the labels g are those of the adjoint equation: with v = 0 on
    labelled nodes and :math:`(\partial_u F) v = \nabla_u J` elsewhere (eq. 23),

    .. math:: \nabla_w J = -v \cdot \partial_w F, \qquad
              \nabla_g J = \nabla_u J - v \cdot \partial_g F.

    For Laplace learning and one weight shared by both directions this is −∇u·∇v summed over the
    classes (eq. 24 alone is the derivative for w(x, y) with w(y, x) held fixed). The adjoint
    matrix is the forward matrix, so its factor is used again. The gradient is not differentiable
    a second time.

    A node without a path to a labelled one has no defined value: with τ = 0 it takes the mean of
    the labels, with τ > 0 it takes 0, and the status is ``DISCONNECTED``. Its gradient is that of
    the label mean, and zero for the weights.

    Args:
        graph: n nodes; float32 or float64 weights.
        labels: g, (m, c) finite real numbers, one-hot rows for classification.
        labeled: (m,) distinct int64 node indices, m >= 1.
        equation: by default ``Laplace(tau=0.0)``.

    Returns:
        The solution u (n, c) in the dtype of the weights, its status, iterations (0 for a direct
        solve) and relative residual.

    Raises:
        NonFiniteError: if a label is NaN or infinite.
        ValueError: if shapes do not fit, no node is labelled, or an index is out of range or
            repeated.

    Warns:
        RuntimeWarning: in the backward pass, if the adjoint solve does not converge.

    Source: GLL paper, section 3.1, eq. 19 to 26.

    """
    equation = equation or Laplace()
    _check_labels(graph, labels, labeled)
    reached = graph.reached_from(labeled)
    free = reached.clone()
    free[labeled] = False
    free = free.nonzero()[:, 0]
    system = prepare(graph, free, equation.tau)
    labels = labels.double()
    boundary = labels.mean(dim=0) if equation.tau == 0 else torch.zeros_like(labels[0])
    fixed = torch.where(reached[:, None], 0, boundary).index_put((labeled,), labels)

    with torch.no_grad():
        forward = system.solve(-equation.residual(graph, fixed)[free])
    approximate = fixed.index_put((free,), forward.values)
    residual = equation.residual(graph, approximate)[free]
    implicit: Tensor = _ImplicitSolution.apply(residual, forward.values, system)  # type: ignore[no-untyped-call]
    values = fixed.index_put((free,), implicit)
    disconnected = forward.status is Status.CONVERGED and not bool(reached.all())
    status = Status.DISCONNECTED if disconnected else forward.status
    return Solution(values.to(graph.weights.dtype), status, forward.iterations, forward.residual)


class _ImplicitSolution(torch.autograd.Function):
    """The identity on a solution u of F(u) = 0, whose backward pass is the adjoint solve."""

    @staticmethod
    def forward(
        ctx: Any,
        residual: Tensor,  # noqa: ARG004 (F(u), through which the gradient goes on)
        values: Tensor,
        system: DenseCholesky | ConjugateGradients,
    ) -> Tensor:
        ctx.system = system
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        adjoint: LinearSolution = ctx.system.solve(gradient)
        if adjoint.status is not Status.CONVERGED:
            message = f"adjoint of the graph equation {adjoint.status.value}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return -adjoint.values, None, None


def _check_labels(graph: SimilarityGraph, labels: Tensor, labeled: Tensor) -> None:
    if labels.ndim != 2 or labeled.shape != labels.shape[:1] or len(labeled) == 0:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} with labeled of shape {tuple(labeled.shape)}: "
            "accepted are (m, c) and (m,) with m >= 1"
        )
    if labeled.dtype != torch.int64:
        raise ValueError(f"labeled: received {labeled.dtype}; accepted are torch.int64 indices")
    if bool(((labeled < 0) | (labeled >= graph.num_nodes)).any()):
        raise ValueError(f"labeled: an index is outside the nodes 0..{graph.num_nodes - 1}")
    if len(labeled.unique()) < len(labeled):
        raise ValueError("labeled: an index stands twice; each node has one label")
    if not bool(labels.isfinite().all()):
        first = int((~labels.isfinite().all(dim=1)).nonzero()[0, 0])
        raise NonFiniteError(f"labels: row {first} holds NaN or infinity")
