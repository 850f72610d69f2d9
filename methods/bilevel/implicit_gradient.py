"""The minimum of the convex inner problem, and its implicit gradient."""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem
from lapbench.methods.graph.knn import NonFiniteError
from lapbench.methods.graph.sparse import gradient_products

_NEWTON_STEPS = 100
_NEWTON_TOLERANCE = 1e-12
_ITERATIONS = 5000
_HALVINGS = 40


def minimize(
    problem: LaplacianProblem, weights: Tensor, start: Tensor, tolerance: float = 1e-8
) -> Tensor:
    r"""The minimiser Y* (n, c), with the implicit gradient in the weights.

    .. math:: \nabla_w J = -\Big(\frac{\partial \nabla F}{\partial w}\Big)^\top V,
        \qquad \nabla^2 F(Y^*) V = \nabla_{Y^*} J,

    so that for the edge ij it is −(2λ/|E|) (Y_i − Y_j)·(V_i − V_j): one linear solve, and no memory
    of the way to Y*. Newton's method runs until ‖∇F‖ is 1e-12 of that at Y = 0.

    Args:
        problem: F.
        weights: (E,) float64, non-negative.
        start: (n, c) float64; the result does not depend on it but for rounding.
        tolerance: of the adjoint solve, on the residual relative to the right-hand side.

    Raises:
        NonFiniteError: if a weight is NaN or infinite.

    Warns:
        RuntimeWarning: if Newton's method or the adjoint solve does not converge.

    """
    if not bool(weights.isfinite().all()):
        raise NonFiniteError(
            "weights of the inner problem: an edge has NaN or infinity; lower the learning rate"
        )
    minimizer: Tensor = _Minimizer.apply(weights, problem, start, tolerance)  # type: ignore[no-untyped-call]
    return minimizer


class _Minimizer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, problem: LaplacianProblem, start: Tensor, tolerance: float
    ) -> Tensor:
        values = _newton(problem, weights, start)
        ctx.save_for_backward(weights, values)
        ctx.problem, ctx.tolerance = problem, tolerance
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weights, values = ctx.saved_tensors
        problem = ctx.problem
        if problem.ridge == 0:
            # Where no label leads, scores are 0 whatever the weights, and the system is singular.
            gradient = torch.where(problem.reached[:, None], gradient, 0)
        adjoint = _conjugate_gradients(problem, values, weights, gradient, ctx.tolerance)
        products = gradient_products(values, adjoint, problem.pattern)
        return -problem.smoothing * products, None, None, None  # Bilevel section 4


def _newton(problem: LaplacianProblem, weights: Tensor, start: Tensor) -> Tensor:
    """Minimise F by Newton's method with inexact steps.

    A step is halved until the slope along it, of the convex F, has at most half its first size
    beyond the minimum.
    """
    size = float(problem.gradient(torch.zeros_like(start), weights).norm()) or 1.0
    values, gradient = start, problem.gradient(start, weights)
    for _ in range(_NEWTON_STEPS):
        relative = float(gradient.norm()) / size
        if relative <= _NEWTON_TOLERANCE:
            return values
        forcing = max(min(0.1, relative**0.5), _NEWTON_TOLERANCE / (10 * relative))
        step = _conjugate_gradients(problem, values, weights, -gradient, forcing)
        slope, length = float((gradient * step).sum()), 1.0
        for _ in range(_HALVINGS):
            moved = values + length * step
            gradient = problem.gradient(moved, weights)
            if float((gradient * step).sum()) <= abs(slope) / 2:
                break
            length /= 2
        values = moved
    _warn(f"the gradient is {relative:.1e} of that at zero after {_NEWTON_STEPS} Newton steps")
    return values


def _conjugate_gradients(
    problem: LaplacianProblem, values: Tensor, weights: Tensor, right: Tensor, tolerance: float
) -> Tensor:
    """Solve ∇²F(Y) V = B for all classes together, with Jacobi's preconditioner.

    Without a ridge the matrix is singular, and rounding of B beside its range would grow: it is
    taken out.
    """
    singular = problem.ridge == 0
    right = problem.without_constants(right) if singular else right
    product, diagonal = (
        problem.hessian_product(values, weights),
        problem.diagonal(values, weights),
    )
    solution, residual = torch.zeros_like(right), right.clone()
    scaled = residual / diagonal
    direction, square = scaled.clone(), float((residual * scaled).sum())
    target = tolerance * float(right.norm())
    for _ in range(_ITERATIONS):
        if float(residual.norm()) <= target:
            return solution
        image = product(direction)
        curvature = float((direction * image).sum())
        if curvature <= 0:
            break
        step = square / curvature
        solution.add_(direction, alpha=step)
        residual.sub_(image, alpha=step)
        if singular:
            residual = problem.without_constants(residual)
        torch.div(residual, diagonal, out=scaled)
        previous, square = square, float((residual * scaled).sum())
        direction.mul_(square / previous).add_(scaled)
    reached = float(residual.norm()) / float(right.norm())
    if reached > tolerance:
        _warn(f"a linear solve stopped at the relative residual {reached:.1e}")
    return solution


def _warn(what: str) -> None:
    warnings.warn(
        f"inner problem: {what}; raise ridge, or look for edge weights of very different size",
        RuntimeWarning,
        stacklevel=3,
    )
