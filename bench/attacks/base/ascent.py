"""Ascent by steps inside a ball: what FGSM, IFGSM and PGD have in common."""

from collections.abc import Callable, Iterator

from torch import Tensor

from lapbench.attacks.base.ball import Ball


def ascend(
    gradient: Callable[[Tensor], Tensor], ball: Ball, start: Tensor, step_size: float, steps: int
) -> Iterator[Tensor]:
    """Yield x_1, …, x_K with x_{i+1} = project(x_i + the ball's step along the gradient at x_i).

    Args:
        gradient: of what is to be raised, from inputs (n, …) to (n, …).
        ball: that no x_i leaves.
        start: x_0, moved into the ball first.
        step_size: α, in units of the ball's scale.
        steps: K.

    """
    moved = ball.project(start)
    for _ in range(steps):
        moved = ball.project(moved + ball.step(gradient(moved), step_size))
        yield moved
