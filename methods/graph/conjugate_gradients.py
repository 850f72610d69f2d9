"""Conjugate gradients for many right-hand sides."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lapbench.methods.graph.block import FreeBlock
from lapbench.methods.graph.compiled import Floats, compiled
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
    values, residual, direction = torch.zeros_like(scaled), scaled.clone(), scaled.clone()
    square = scaled.square().sum(dim=0)
    target = square * tolerance**2
    advance = _advancer(values, residual, direction, square)
    iterations, definite = 0, True
    while definite and iterations < max_iterations and bool((square > target).any()):
        definite = advance(block.product(direction))
        iterations += 1
    if not (definite or block.elliptic) or not bool(values.isfinite().all()):
        return LinearSolution(torch.zeros_like(right_hand_sides), Status.SINGULAR, iterations, 1.0)
    known = values[:, columns:] * block.scale
    error = float((known - block.free.double()).abs().max())
    # The matrix of an elliptic equation is positive definite: a negative curvature is rounding.
    if definite and bool((square > target).any()):
        status = Status.NOT_CONVERGED
    elif not definite or error > tolerance**0.5:
        status = Status.ILL_CONDITIONED
    else:
        status = Status.CONVERGED
    size = scaled.norm(dim=0) + values.norm(dim=0)
    relative = float((square.sqrt() / size.clamp_min(_TINY)).max())
    return LinearSolution(values[:, :columns] * scale, status, iterations, relative)


def _advancer(
    values: Tensor, residual: Tensor, direction: Tensor, square: Tensor
) -> Callable[[Tensor], bool]:
    """An iteration in place, as a function of A times the direction.

    Where a curvature is negative it changes nothing and returns False.
    """
    if values.is_cuda:
        return lambda product: _advance_with_torch(values, residual, direction, square, product)
    v, r, d, s = values.numpy(), residual.numpy(), direction.numpy(), square.numpy()
    return lambda product: bool(_advance_compiled(v, r, d, s, product.numpy()))


def _advance_with_torch(
    values: Tensor, residual: Tensor, direction: Tensor, square: Tensor, product: Tensor
) -> bool:
    curvature = (direction * product).sum(dim=0)
    if bool((curvature < 0).any()):
        return False
    # A column that has converged goes on until its direction is 0, and then stays.
    step = square / curvature.clamp_min(_TINY)
    values.addcmul_(direction, step)
    residual.addcmul_(product, step, value=-1)
    previous = square.clamp_min(_TINY)
    torch.sum(residual.square(), dim=0, out=square)
    torch.addcmul(residual, direction, square / previous, out=direction)
    return True


@compiled("reassoc", "contract")
def _advance_compiled(
    values: Floats, residual: Floats, direction: Floats, square: Floats, product: Floats
) -> bool:
    """``_advance_with_torch`` in three passes over the vectors instead of eight."""
    rows, columns = values.shape
    step, share = np.zeros(columns), np.zeros(columns)
    for i in range(rows):
        for c in range(columns):
            step[c] += direction[i, c] * product[i, c]
    for c in range(columns):
        if step[c] < 0:
            return False
        step[c] = square[c] / max(step[c], _TINY)
        share[c] = max(square[c], _TINY)
        square[c] = 0
    for i in range(rows):
        for c in range(columns):
            values[i, c] += step[c] * direction[i, c]
            residual[i, c] -= step[c] * product[i, c]
            square[c] += residual[i, c] * residual[i, c]
    for c in range(columns):
        share[c] = square[c] / share[c]
    for i in range(rows):
        for c in range(columns):
            direction[i, c] = residual[i, c] + share[c] * direction[i, c]
    return True
