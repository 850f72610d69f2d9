"""Exact neighbours are those of a full sort; approximate ones have true distances."""

from collections.abc import Callable

import pytest
import torch
from make_graphs import random
from torch import Tensor

from lapbench.methods.graph import nearest_neighbors


def whole_numbers(values: int, offset: float = 0.0) -> Tensor:
    """Points with exact distances; few values give many ties and duplicates."""
    generator = torch.Generator().manual_seed(values)
    return (torch.randint(values, (150, 3), generator=generator) + offset).float()


def shuffled_copies(copies: int) -> Tensor:
    points = random(12, 3).repeat(copies, 1)
    return points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))].float()


POINTS: dict[str, tuple[Callable[[], Tensor], int]] = {
    "ties": (lambda: whole_numbers(2), 7),
    "crowded": (lambda: whole_numbers(10), 7),
    "crowded, far": (lambda: whole_numbers(10, 1000.0), 7),
    "spread": (lambda: whole_numbers(10_000), 7),
    "spread, far": (lambda: whole_numbers(10_000, 1000.0), 7),
    "float32": (lambda: random(200, 30).float(), 9),
    "float32, far": (lambda: (random(200, 30) + 1e3).float(), 9),
    "float64": (lambda: random(200, 3), 5),
    # With 8 copies and k = 8 one neighbour is another point.
    "8 copies": (lambda: shuffled_copies(8), 8),
    "9 copies": (lambda: shuffled_copies(9), 8),
    "40 copies": (lambda: shuffled_copies(40), 8),
    "all the same": (lambda: torch.zeros(300, 2), 3),
    "overflow in products": (lambda: 1e18 * random(100, 3).float(), 5),
    "all are neighbours": (lambda: random(10, 2), 1000),
}


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("name", POINTS)
def test_neighbours_are_those_of_a_sort_by_distance_and_index(
    name: str, chunk: int | None, monkeypatch: pytest.MonkeyPatch
):
    """In one chunk of rows or in several; never the node itself."""
    if chunk:
        monkeypatch.setattr("lapbench.methods.graph.knn._NUMBERS_ON_CPU", chunk)
    make, k = POINTS[name]
    points = make()
    squared = (points[:, None].double() - points[None].double()).square().sum(dim=2)
    squared.fill_diagonal_(torch.inf)
    expected = squared.sort(dim=1, stable=True)
    neighbors = nearest_neighbors(points, k)
    assert torch.equal(neighbors.indices, expected.indices[:, :-1][:, :k])
    torch.testing.assert_close(
        neighbors.distances,
        expected.values[:, :-1][:, :k].sqrt().to(points.dtype),
        atol=0,
        rtol=1e-6,
    )


def test_annoy_finds_most_neighbours_and_their_true_distances():
    pytest.importorskip("annoy", reason="annoy is an optional dependency")
    features = random(200, 3)
    exact = nearest_neighbors(features, 5)
    approximate = nearest_neighbors(features, 5, "annoy", recall_sample=200)
    hits = (exact.indices[:, :, None] == approximate.indices[:, None]).any(dim=2)
    assert hits.double().mean() > 0.9
    assert approximate.recall == pytest.approx(hits.double().mean().item())
    true = (features[:, None] - features[approximate.indices]).norm(dim=2)
    torch.testing.assert_close(approximate.distances, true)
    assert (approximate.distances.diff(dim=1) >= 0).all()
    assert (approximate.indices != torch.arange(200)[:, None]).all()
