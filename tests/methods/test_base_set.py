"""Base sets are what their definitions say, by loops over nodes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_graph import adjacency, local_maxima, selected

from lapbench.methods.base.base_set import draw_per_class, entropy_score, l2_score, select_per_class

DETERMINISTIC = settings(derandomize=True, deadline=None, database=None, max_examples=100)

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


@pytest.mark.parametrize("local", [False, True])
@DETERMINISTIC
@given(case=cases())
def test_selection_is_that_of_its_definition(local: bool, case: Case):
    """The highest scores of each class, local maxima of the graph first if it is given."""
    labels, scores, neighbors, count = case
    preferred = local_maxima(scores, adjacency(neighbors, labels)) if local else None
    graph = torch.tensor(neighbors) if local else None
    rows = select_per_class(torch.tensor(labels), torch.tensor(scores), count, graph)
    assert rows.dtype == torch.int64
    assert rows.tolist() == selected(labels, scores, count, preferred)


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
    # Of equal scores on a path, only the first has no lower neighbour that is a maximum too.
    equal = torch.tensor([0, 1, 0, 1]), torch.ones(4), 1, torch.tensor([[1], [2], [3], [2]])
    assert select_per_class(*equal).tolist() == [0, 1]


def test_unknown_rows_are_neither_chosen_nor_compete():
    y, score = torch.tensor([0, -1, 0]), torch.tensor([1.0, 9.0, 2.0])
    star = torch.tensor([[1, 1], [0, 2], [1, 1]])
    assert select_per_class(y, score, 1, star).tolist() == [2]
    assert select_per_class(y, score, 5, star).tolist() == [0, 2]
    assert select_per_class(torch.full((3,), -1), score, 1, star).tolist() == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"score": torch.tensor([0.0, math.nan, math.nan])}, ("score: ", "NaN in 2 row", "is 1")),
        ({"score": torch.zeros(3, 1)}, ("score: ", (3, 1), "3 classes")),
        ({"count": 0}, ("count: ", 0)),
        ({"neighbors": torch.zeros(2, 4, dtype=torch.int64)}, ("neighbors: ", (2, 4), "3 rows")),
    ],
)
def test_wrong_argument_is_named(changed: dict[str, Any], named: tuple[object, ...]):
    """NaN even where the class is unknown, because it tells of a training that diverged."""
    given_: dict[str, Any] = {"y": torch.tensor([0, -1, 0]), "score": torch.zeros(3), "count": 1}
    with refused(ValueError, *named):
        select_per_class(**(given_ | changed))


def test_scores_by_hand():
    """Rows (1, 0), (½, ½), (0, 0) and (1 + ε, −ε) as rounding leaves it."""
    values = torch.tensor([[1, 0], [0.5, 0.5], [0, 0], [1 + 1e-12, -1e-12]], dtype=torch.float64)
    entropy = torch.tensor([0, math.log(2), 0, 0], dtype=torch.float64)
    torch.testing.assert_close(entropy_score(values), entropy, atol=1e-11, rtol=0)
    distance = torch.tensor([0, 1 - math.sqrt(0.5), 1, 0], dtype=torch.float64)
    torch.testing.assert_close(l2_score(values), distance, atol=1e-11, rtol=0)


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
