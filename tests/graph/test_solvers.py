"""Which solver is used, what it says of itself, and how well it solves."""

import pytest
import torch
from graph_table import random
from small_graph import only_iterate

from lapbench.methods.graph import (
    PLaplace,
    SimilarityGraph,
    Status,
    knn_graph,
    solve,
    solve_graph_equation,
)


def chained_clusters(link: float) -> SimilarityGraph:
    """Three complete clusters of ten nodes in a row, joined by two weak links."""
    i, j = torch.triu_indices(10, 10, offset=1)
    inner = [torch.stack([i, j]) + 10 * place for place in range(3)]
    edges = torch.cat([*inner, torch.tensor([[0, 10], [10, 20]])], dim=1)
    weights = torch.ones(edges.shape[1], dtype=torch.float64)
    weights[-2:] = link
    order = (edges[0] * 30 + edges[1]).argsort()
    return SimilarityGraph(edges[:, order], weights[order], 30)


@pytest.mark.parametrize("link", [1e-6, 1e-12, 1e-17])
def test_iteration_that_loses_a_weak_link_says_so(link: float, monkeypatch: pytest.MonkeyPatch):
    """The middle cluster is half way between the labels of the others, however weak the links."""
    labels, labeled = torch.eye(2, dtype=torch.float64), torch.tensor([1, 29])
    exact = solve_graph_equation(chained_clusters(link), labels, labeled)
    assert exact.status is Status.CONVERGED
    torch.testing.assert_close(exact.values[10:20], torch.full((10, 2), 0.5, dtype=torch.float64))
    only_iterate(monkeypatch)
    found = solve_graph_equation(chained_clusters(link), labels, labeled)
    if found.status is Status.CONVERGED:
        torch.testing.assert_close(found.values, exact.values, atol=1e-5, rtol=0)
    else:
        assert found.status is Status.ILL_CONDITIONED
    assert (found.status is Status.CONVERGED) == (link == 1e-6)


def test_iteration_that_cannot_be_trusted_is_rescued_by_a_factor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(solve, "DENSE_UP_TO", 0)
    graph, labeled = chained_clusters(1e-12), torch.tensor([1, 29])
    found = solve_graph_equation(graph, torch.eye(2, dtype=torch.float64), labeled)
    assert found.status is Status.CONVERGED
    torch.testing.assert_close(found.values[10:20], torch.full((10, 2), 0.5, dtype=torch.float64))


def test_columns_of_very_different_size_are_solved_equally_well():
    graph, labeled = knn_graph(random(60, 3), 6), torch.tensor([0, 1, 2])
    labels = torch.eye(3, dtype=torch.float64)
    scale = torch.tensor([1.0, 1.0, 1e6], dtype=torch.float64)
    alone = solve_graph_equation(graph, labels[:, :2], labeled, PLaplace(1.5))
    together = solve_graph_equation(graph, labels * scale, labeled, PLaplace(1.5))
    torch.testing.assert_close(together.values[:, :2], alone.values, atol=1e-9, rtol=0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_residual_of_a_nonlinear_equation_is_relative(scale: float):
    graph = knn_graph(random(60, 3), 6)
    labels = scale * torch.eye(3, dtype=torch.float64)
    solution = solve_graph_equation(graph, labels, torch.tensor([0, 1, 2]), PLaplace(10.0))
    assert solution.status is Status.CONVERGED
    assert solution.residual < 1e-9
