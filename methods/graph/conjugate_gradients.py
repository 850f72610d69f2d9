"""Conjugate gradients for many right-hand sides."""

import torch
from torch import Tensor

from lapbench.methods.graph.block import FreeBlock
from lapbench.methods.graph.status import LinearSolution, Status

_TINY = torch.finfo(torch.float64).tiny


def conjugate_gradients(
    block: FreeBlock, right_hand_sides: Tensor, tolerance: float, max_iterations: int
) -> LinearSolution:
    """Solve A u = b with sparse products, never a dense matrix; the choice for large graphs.

    On the block scaled to unit diagonal this is Jacobi preconditioning. All columns share the
    products; each has its own step lengths.

    A small residual bounds the error only up to the condition number, so a column of known solution
    is solved beside the others: A 1 is the row sums. Where the result differs from 1 by more
    than the root of the tolerance, nodes hang by links too weak for the iteration, and the status
    is ``ILL_CONDITIONED``. If A is not positive definite it is ``SINGULAR``.

    Args:
        block: A.
        right_hand_sides: b, (n, c) float64.
        tolerance: on the residual of a column, relative to b.
        max_iterations: after which the status is ``NOT_CONVERGED``.

    """
    columns = right_hand_sides.shape[1]
    scale = block.scale.repeat(1, columns // block.scale.shape[1])
    scaled = torch.cat([right_hand_sides * scale, block.excess * block.scale], dim=1)
    values, residual, direction = torch.zeros_like(scaled), scaled, scaled
    square = _dot(residual, residual)
    target = square * tolerance**2
    iterations, definite = 0, True
    while bool((square > target).any()) and iterations < max_iterations:
        product = block.product(direction)
        curvature = _dot(direction, product)
        definite = block.elliptic or bool((curvature >= 0).all())
        if not definite:
            break
        # A column that has converged goes on until its direction is 0, and then stays.
        step = square / curvature.clamp_min(_TINY)
        values.addcmul_(direction, step)
        residual = torch.addcmul(residual, product, step, value=-1)
        previous, square = square, _dot(residual, residual)
        direction = torch.addcmul(residual, direction, square / previous.clamp_min(_TINY))
        iterations += 1
    if not definite or not bool(values.isfinite().all()):
        return LinearSolution(torch.zeros_like(right_hand_sides), Status.SINGULAR, iterations, 1.0)
    known = values[:, columns:] * block.scale
    error = float((known - block.free.double()).abs().max())
    if bool((square > target).any()):
        status = Status.NOT_CONVERGED
    else:
        status = Status.ILL_CONDITIONED if error > tolerance**0.5 else Status.CONVERGED
    size = scaled.norm(dim=0) + values.norm(dim=0)
    relative = float((square.sqrt() / size.clamp_min(_TINY)).max())
    return LinearSolution(values[:, :columns] * scale, status, iterations, relative)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(dim=0)
