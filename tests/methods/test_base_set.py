"""Base sets are what their definitions say, by loops over nodes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_selection import adjacency, local_maxima, selected
from torch import Tensor

from lapbench.methods.base.base_set import draw_per_class, entropy_score, l2_score, select_per_class

DETERMINISTIC = settings(derandomize=True, deadline=None, database=None, max_examples=200)

Case = tuple[list[int], list[float], list[list[int]], int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Classes, scores with many ties, neighbours (repeated and itself among them), a count."""
    nodes = draw(st.integers(1, 9))
    labels = draw(st.lists(st.integers(-1, 2), min_size=nodes, max_size=nodes))
    values = st.sampled_from([-math.inf, -0.0, 0.0, 0.25, 1.0, math.inf])
    scores = draw(st.lists(values, min_size=nodes, max_size=nodes))
    row = st.lists(st.integers(0, nodes - 1), min_size=2, max_size=2)
    neighbors = draw(st.lists(row, min_size=nodes, max_size=nodes))
    return labels, scores, neighbors, draw(st.integers(1, 4))


@DETERMINISTIC
@given(cases())
def test_the_highest_of_each_class_are_selected(case: Case):
    labels, scores, _, count = case
    found = select_per_class(torch.tensor(labels), torch.tensor(scores), count)
    assert found.dtype == torch.int64
    assert found.tolist() == selected(labels, scores, count)


@DETERMINISTIC
@given(cases())
def test_local_maxima_are_preferred(case: Case):
    labels, scores, neighbors, count = case
    preferred = local_maxima(scores, adjacency(neighbors, labels))
    found = select_per_class(
        torch.tensor(labels), torch.tensor(scores), count, torch.tensor(neighbors)
    )
    assert found.tolist() == selected(labels, scores, count, preferred)


def test_local_maxima_by_hand():
    """A path 0–1–2–3–4 of one class, each edge known at its upper end alone.

    Scores 5 4 3 3 1: the local maxima are 0 alone, as 3 has the equal neighbour 2, which is below
    1. Then the highest of the rest follow.
    """
    y, score = torch.zeros(5, dtype=torch.int64), torch.tensor([5.0, 4, 3, 3, 1])
    path = torch.tensor([[0], [0], [1], [2], [3]])
    assert select_per_class(y, score, 2).tolist() == [0, 1]
    assert select_per_class(y, score, 2, path).tolist() == [0, 3]
    assert select_per_class(y, score, 3, path).tolist() == [0, 1, 3]


def test_of_adjacent_equal_maxima_the_lowest_row_counts():
    """A path of equal scores: each row but the first has a lower neighbour."""
    y, score = torch.tensor([0, 1, 0, 1]), torch.ones(4)
    path = torch.tensor([[1], [2], [3], [2]])
    assert local_maxima([1.0] * 4, adjacency(path.tolist(), y.tolist())) == {0}
    assert select_per_class(y, score, 1, path).tolist() == [0, 1]


def test_chosen_local_maxima_are_not_adjacent():
    """As long as every class has enough of them, on a graph of random planar points."""
    rng = np.random.default_rng(0)
    points = rng.random((400, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    neighbors = distances.argsort(axis=1)[:, 1:9]
    score, y = np.sin(12 * points).sum(axis=1), rng.integers(0, 2, 400)
    maxima = local_maxima(score.tolist(), adjacency(neighbors.tolist(), y.tolist()))
    tensors = torch.from_numpy(y), torch.from_numpy(score)
    rows = select_per_class(*tensors, 5, torch.from_numpy(neighbors)).tolist()
    assert set(rows) <= maxima
    assert not any(other in neighbors[row] for row in rows for other in rows)
    plain = select_per_class(*tensors, 5).tolist()
    assert any(other in neighbors[row] for row in plain for other in plain)


def test_unknown_rows_are_neither_chosen_nor_compete():
    y, score = torch.tensor([0, -1, 0]), torch.tensor([1.0, 9.0, 2.0])
    star = torch.tensor([[1, 1], [0, 2], [1, 1]])
    assert select_per_class(y, score, 1, star).tolist() == [2]
    assert select_per_class(y, score, 5, star).tolist() == [0, 2]
    assert select_per_class(torch.full((3,), -1), score, 1, star).tolist() == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"score": torch.tensor([0.0, math.nan, math.nan])}, r"NaN in 2 row\(s\).*first .* is 1;"),
        ({"score": torch.zeros(3, 1)}, r"score: received shape \(3, 1\) for 3 classes"),
        ({"count": 0}, "count: received 0; accepted is an integer >= 1"),
        ({"neighbors": torch.zeros(2, 4, dtype=torch.int64)}, r"neighbors: .*\(2, 4\) for 3 rows"),
    ],
)
def test_what_cannot_be_selected_from_is_named(changed: dict[str, Tensor | int], message: str):
    """NaN even where the class is unknown, because it tells of a training that diverged."""
    given_: dict[str, Tensor | int] = {
        "y": torch.tensor([0, -1, 0]),
        "score": torch.zeros(3),
        "count": 1,
    }
    with pytest.raises(ValueError, match=message):
        select_per_class(**(given_ | changed))  # type: ignore[arg-type]


def test_scores_by_hand():
    """Rows (1, 0), (½, ½), (0, 0) and (1 + ε, −ε) as rounding leaves it."""
    values = torch.tensor([[1, 0], [0.5, 0.5], [0, 0], [1 + 1e-12, -1e-12]], dtype=torch.float64)
    entropy = torch.tensor([0, math.log(2), 0, 0], dtype=torch.float64)
    torch.testing.assert_close(entropy_score(values), entropy, atol=1e-11, rtol=0)
    distance = torch.tensor([0, 1 - math.sqrt(0.5), 1, 0], dtype=torch.float64)
    torch.testing.assert_close(l2_score(values), distance, atol=1e-11, rtol=0)


def test_scores_by_their_sums():
    values = torch.rand(20, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = values.tolist()
    assert entropy_score(values).tolist() == pytest.approx(
        [-sum(u * math.log(u) for u in row) for row in rows]
    )
    assert l2_score(values).tolist() == pytest.approx([1 - math.hypot(*row) for row in rows])


@pytest.mark.parametrize("count", [1, 3, "all"])
def test_draws_have_the_count_of_each_known_class(count: int):
    y = torch.from_numpy(np.random.default_rng(0).integers(-1, 4, 60))
    rows = draw_per_class(y, count, np.random.default_rng(1))
    assert rows.tolist() == sorted(set(rows.tolist()))
    drawn, known = y[rows], y[y >= 0]
    assert (drawn >= 0).all()
    expected = known.bincount() if count == "all" else torch.full((4,), count)
    assert torch.equal(drawn.bincount(), expected)


def test_draws_are_those_of_the_generator_and_reach_every_row():
    y = torch.tensor([1, 0, 1, 1, -1, 0])
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    draws = [draw_per_class(y, 1, rng).tolist() for _ in range(40)]
    assert draws == [draw_per_class(y, 1, again).tolist() for _ in range(40)]
    assert {row for draw in draws for row in draw} == {0, 1, 2, 3, 5}


def test_ties_are_taken_in_the_given_order():
    y, score = torch.tensor([0, 0, 0, 1, 1, -1]), torch.tensor([1.0, 2.0, 1.0, 0.0, 0.0, 9.0])
    for ties in ([2, 0, 1, 4, 3], [0, 1, 2, 3, 4]):
        chosen = select_per_class(y, score, 2, ties=torch.tensor(ties))
        assert chosen.tolist() == sorted([1, ties[0], 3, 4])
