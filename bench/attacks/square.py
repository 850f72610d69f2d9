"""The Square attack."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lapbench.attacks.base.attack import BallAttack, Candidate, Level
from lapbench.attacks.base.ball import Ball
from lapbench.attacks.base.loss import column, margins
from lapbench.attacks.base.quantities import Count, Knowledge
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated

_HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@validated(kw_only=True)
class Square(BallAttack):
    """Random search by squares of constant colour; it uses predictions only.

    Starts from vertical stripes of ±ε, one sign for each column and channel. Each query moves a
    random square by ±2ε, one sign for each channel, and projects onto ball and bounds. It is
    accepted if it lowers the margin m = log p_y − max_{j≠y} log p_j. In vectors an interval of
    coordinates moves, and each coordinate has its own sign at the start. Prefer it where a gradient
    may mislead: a model that withstands PGD but not this attack hides its gradient.

    The share p of the values in a square is halved after 0.1, 0.5, 2, 5, 10, 20, 40, 60 and 80 % of
    the queries. An input is done once it is wrong; one that is wrong at the start stays. Each input
    accepts for itself, but proposals are predicted together. Where predictions depend on the batch,
    a margin is that beside the proposals of the others, some of which are refused afterwards.

    Args:
        epsilons, units: of the ball.
        norm: ``"linf"`` alone; use pgd or apgd_ce in ℓ2.
        queries: predictions of the batch, the first being that of the inputs as they are.
        initial_share: p of the first squares.

    Source: Andriushchenko et al., "Square attack: a query-efficient black-box adversarial attack
    via random search", 2020, algorithms 1 and 2; intervals of vectors are ours.

    """

    knowledge: ClassVar[Knowledge] = "black box"

    norm: Literal["linf"] = "linf"
    queries: Count = 1000
    initial_share: Annotated[float, Field(gt=0, le=1)] = 0.8

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        """Yield what the search leaves for each ε."""
        for epsilon in self.epsilons:
            ball = target.ball(x, epsilon, self.norm, self.units)
            moved = self._search(target, ball, y)
            yield Candidate(Level("epsilon", epsilon, self.queries), moved)

    @torch.no_grad()
    def _search(self, target: Target, ball: Ball, y: Tensor) -> Tensor:
        best = ball.x
        margin = margins(target.log_probabilities(best), y)
        for query in range(1, self.queries):
            right = (y >= 0) & (margin >= 0)
            if not right.any():
                break
            moved = _stripes(best) if query == 1 else 2 * self._square(best, query)
            proposal = ball.project(best + ball.epsilon * ball.scale * moved)
            proposal = torch.where(column(right, best), proposal, best)
            proposed = margins(target.log_probabilities(proposal), y)
            accepted = right if query == 1 else right & (proposed < margin)
            best = torch.where(column(accepted, best), proposal, best)
            margin = torch.where(accepted, proposed, margin)
        return best

    def _square(self, x: Tensor, query: int) -> Tensor:
        """±1 in a random square of each image (n, c, h, w), or interval of a vector."""
        share = self.initial_share / 2 ** sum(query > part * self.queries for part in _HALVINGS)
        if x.ndim == 2:
            length = max(round(share * x.shape[1]), 1)
            return _signs(x[:, :1]) * _interval(x, x.shape[1], length)
        side = min(max(round((share * x[0, 0].numel()) ** 0.5), 1), *x.shape[2:])
        rows, columns = (_interval(x, size, side) for size in x.shape[2:])
        return _signs(x[:, :, :1, :1]) * (rows[:, None, :, None] * columns[:, None, None, :])


def _stripes(x: Tensor) -> Tensor:
    return _signs(x if x.ndim == 2 else x[:, :, :1])


def _signs(x: Tensor) -> Tensor:
    """±1 at random in the shape and type of x."""
    return 2 * torch.randint_like(x, 2) - 1


def _interval(x: Tensor, size: int, length: int) -> Tensor:
    """The 1 in a random interval of each row (n, size), and 0 elsewhere."""
    start = torch.randint(size - length + 1, (len(x), 1), device=x.device)
    position = torch.arange(size, device=x.device)
    return ((position >= start) & (position < start + length)).to(x.dtype)
