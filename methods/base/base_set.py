"""Base sets: which labelled samples a graph is given."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor


def draw_per_class(y: Tensor, count: int | Literal["all"], rng: np.random.Generator) -> Tensor:
    """``count`` random rows of each known class, or all of them, in ascending order."""
    chosen = []
    for label in y[y >= 0].unique():
        rows = (y == label).nonzero()[:, 0]
        take = len(rows) if count == "all" else count
        chosen.append(rows[torch.from_numpy(rng.permutation(len(rows))[:take]).to(rows.device)])
    return torch.cat(chosen).sort().values


def order_by_class(y: Tensor, rng: np.random.Generator) -> Tensor:
    """All rows of known class, in random order within each class, classes one by one.

    Every i-th row of them holds each class in its proportion.
    """
    order = torch.from_numpy(rng.permutation(len(y))).to(y.device)
    order = order[y[order] >= 0]
    return order[y[order].sort(stable=True).indices]


def parts_with_all_classes(y: Tensor, size: int | Literal["all"]) -> list[slice]:
    """Slices that divide rows of :func:`order_by_class`, whose classes (n,) are ``y``.

    A part has at most ``size`` rows; more where a rare class would be missing from one of them.
    """
    count = 1
    if size != "all" and len(y):
        rarest = int(y.unique(return_counts=True)[1].min())
        count = min(-(-len(y) // size), rarest)
    return [slice(start, None, count) for start in range(count)]


def entropy_score(values: Tensor) -> Tensor:
    """The uncertainty −Σ_c u_c log u_c of each row, (n, c) to (n,), in nats.

    0 log 0 is 0, and a u that rounding made negative counts as 0. Rows of probabilities score from
    0 (one class) to log c (all alike). With τ > 0 the rows of u do not sum to 1, and a row of
    zeros, which no label reaches, scores 0.

    Source: GLL paper, appendix A, eq. 47.
    """
    entropy: Tensor = torch.special.entr(values.clamp_min(0)).sum(dim=1)  # GLL eq. 47
    return entropy


def l2_score(values: Tensor) -> Tensor:
    """The uncertainty 1 − ‖u‖₂ of each row, (n, c) to (n,).

    Rows of probabilities score from 0 (one class) to 1 − 1/√c (all alike), a row of zeros 1.

    Source: GLL paper, appendix A, eq. 48.
    """
    norm: Tensor = torch.linalg.vector_norm(values, dim=1)
    return 1 - norm  # GLL eq. 48


def select_per_class(
    y: Tensor,
    score: Tensor,
    count: int,
    neighbors: Tensor | None = None,
    ties: Tensor | None = None,
) -> Tensor:
    """The ``count`` rows of highest score of each known class, in ascending order.

    Of equal scores the one earlier in ``ties`` comes first, else the lower row; a class with fewer
    rows gives all of them. The paper takes the highest scores of all samples together; by class,
    every class stays represented.

    With ``neighbors`` this is LocalMax: rows whose score is at least that of all their neighbours
    come first, in order of score, so that no two chosen ones are adjacent; only where a class has
    too few of them do the highest of its other rows follow. Of two adjacent local maxima, which
    have equal scores, the lower row alone counts as one. Two rows are adjacent when either is a
    neighbour of the other, whatever their classes. Rows with class −1 are never chosen, and do not
    compete with their neighbours either.

    Args:
        y: (n,) classes, −1 where unknown.
        score: (n,) real numbers, infinite ones too, of all rows.
        count: rows per class, at least 1.
        neighbors: (n, k) int64, rows that are the neighbours of each row; none for the plain
            highest scores.
        ties: all rows of known class, in the order in which equal scores are taken.

    Raises:
        ValueError: if a score is NaN, the count is below 1 or shapes do not fit.

    Source: GLL paper, appendix A; LocalMax of Chapman et al. (2023).

    """
    _check(y, score, count, neighbors)
    # Stable sorts, the least important key first: tie, −score, other than a local maximum, class.
    order = (y >= 0).nonzero()[:, 0] if ties is None else ties
    order = order[score[order].argsort(descending=True, stable=True)]
    if neighbors is not None:
        others = ~_local_maxima(score, _edges(y, neighbors))
        order = order[others[order].int().argsort(stable=True)]
    order = order[y[order].argsort(stable=True)]
    sizes = y[order].bincount()
    starts = sizes.cumsum(0) - sizes
    place = torch.arange(len(order), device=y.device) - starts[y[order]]
    return order[place < count].sort().values


def _edges(y: Tensor, neighbors: Tensor) -> Tensor:
    """The pairs (2, e) of adjacent rows with known classes, each in both directions."""
    nodes, k = neighbors.shape
    source = torch.arange(nodes, device=neighbors.device).repeat_interleave(k)
    one_way = torch.stack([source, neighbors.flatten()])
    both_ways = torch.cat([one_way, one_way.flip(0)], dim=1)
    return both_ways[:, (y[both_ways] >= 0).all(dim=0)]


def _local_maxima(score: Tensor, edges: Tensor) -> Tensor:
    """Which rows (n,) are local maxima, of two adjacent ones the lower row alone."""
    row, neighbor = edges
    highest = torch.full_like(score, -torch.inf)
    highest.scatter_reduce_(0, row, score[neighbor], "amax")
    maxima = score >= highest
    adjacent = maxima[row] & maxima[neighbor] & (neighbor < row)
    return maxima.index_fill(0, row[adjacent], False)


def _check(y: Tensor, score: Tensor, count: int, neighbors: Tensor | None) -> None:
    if score.shape != y.shape:
        raise ValueError(
            f"score: received shape {tuple(score.shape)} for {len(y)} classes; must be one "
            "number for each row"
        )
    if score.isnan().any():
        rows = score.isnan().nonzero()[:, 0]
        raise ValueError(
            f"score: received NaN in {len(rows)} row(s), the first of which is {int(rows[0])}; "
            "must be numbers; NaN comes from features or values that are not finite"
        )
    if count < 1:
        raise ValueError(f"count: received {count!r}; must be an integer >= 1")
    if neighbors is not None and (neighbors.ndim != 2 or len(neighbors) != len(y)):
        raise ValueError(
            f"neighbors: received shape {tuple(neighbors.shape)} for {len(y)} rows; must be "
            "one row of neighbours for each row"
        )
