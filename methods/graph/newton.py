"""Newton's method for a graph equation."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lapbench.methods.graph.knn import NonFiniteError
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import LinearOperator, Operator
from lapbench.methods.graph.solve import LinearSystem
from lapbench.methods.graph.status import LinearSolution, Status, worst

MAX_STEPS = 100

_STEP_TOLERANCE = 1e-10
_HALVINGS = 30


def newton(
    operator: Operator,
    graph: SimilarityGraph,
    source: Tensor,
    start: Tensor,
    free: Tensor,
    tolerance: float,
) -> tuple[LinearSolution, LinearSystem]:
    """Solve τ(u, x) + div φ(∇u) = f at the free nodes from a start; one step if it is linear.

    In each column a step is halved until the slope of the convex energy along it is at most half
    of that at the start. Where the matrix is indefinite there is no such energy, and the residual
    has to fall. The iteration ends when a step is below 1e-10 of the range of values in each
    column: at large p a small residual would leave an error of 1e-3.

    Args:
        operator: the left-hand side.
        graph: the graph, with float64 weights.
        source: f, (n, c).
        start: u (n, c), exact at nodes that are not free.
        free: (n,) bool.
        tolerance: of iterative linear solves.

    Returns:
        The values (n, c) with the worst status, the iterations (Newton's if nonlinear) and the
        residual relative to the terms that make it up; and the system of the linearisation at the
        solution.

    Raises:
        NonFiniteError: if the residual is NaN or infinite at the start.

    """

    def residual_at(values: Tensor) -> Tensor:
        return torch.where(free[:, None], operator.residual(graph, values) - source, 0)

    values, residual = start, residual_at(start)
    if isinstance(operator, LinearOperator):
        system = LinearSystem(operator.linearize(graph, values, free), tolerance)
        step = system.solve(-residual)
        return replace(step, values=values + step.values), system
    if not bool(residual.isfinite().all()):
        raise NonFiniteError(
            "phi or tau: returned NaN or infinity at the values to start from, between "
            f"{float(start.min()):g} and {float(start.max()):g}; both must be finite there"
        )
    steps, converged, stuck = 0, False, False
    while steps < MAX_STEPS and not (converged or stuck):
        step = LinearSystem(operator.linearize(graph, values, free), tolerance).solve(-residual)
        moved, residual = _search(residual_at, values, residual, step.values)
        stuck = torch.equal(moved, values)
        values = moved
        converged = bool((_largest(step.values) <= _STEP_TOLERANCE * _scale(values)).all())
        steps += 1
    system = LinearSystem(operator.linearize(graph, values, free), tolerance)
    status = worst([step.status, Status.CONVERGED if converged else Status.NOT_CONVERGED])
    size = source.norm(dim=0) + operator.magnitude(graph, values)
    relative = residual.norm(dim=0) / size.clamp_min(torch.finfo(values.dtype).tiny)
    return LinearSolution(values, status, steps, float(relative.max())), system


def _scale(values: Tensor) -> Tensor:
    """Range (c,) of each column, but at least what rounding leaves beside a large mean."""
    if not values.numel():
        return values.new_zeros(values.shape[1])
    return values.amax(dim=0) - values.amin(dim=0) + 1e-6 * _largest(values)


def _largest(values: Tensor) -> Tensor:
    if not values.numel():
        return values.new_zeros(values.shape[1])
    return values.abs().amax(dim=0)


def _search(
    residual_at: Callable[[Tensor], Tensor], values: Tensor, residual: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Take the longest acceptable part of a step in each column; values and residual there."""
    slope = (residual * step).sum(dim=0)
    norm = residual.norm(dim=0)
    length = torch.ones_like(slope)
    for _ in range(_HALVINGS):
        moved = values + length * step
        residual_there = residual_at(moved)
        convex = (slope < 0) & ((residual_there * step).sum(dim=0) <= slope.abs() / 2)
        accepted = convex | (residual_there.norm(dim=0) <= norm)
        if bool(accepted.all()):
            break
        length = torch.where(accepted, length, length / 2)
    return torch.where(accepted, moved, values), torch.where(accepted, residual_there, residual)
