"""Which solver is used, what it says of itself, and how well it solves."""

import pytest
import torch
from make_graphs import dense_graph, random
from make_small_graph import only_iterate
from oracle_graph import dense_solution, dense_weights, relative_error

from lapbench.methods.graph import (
    Laplace,
    PLaplace,
    SimilarityGraph,
    Status,
    knn_graph,
    solve,
    solve_graph_equation,
)
from lapbench.methods.graph.dense import subtraction_free_factor

ONE_HOT, LABELED = torch.eye(2, dtype=torch.float64), torch.tensor([0, 1])
HALVES = torch.full((10, 2), 0.5, dtype=torch.float64)


@pytest.fixture(params=["dense", "iterative"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both solvers on the same small graphs."""
    if request.param == "iterative":
        only_iterate(monkeypatch)


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("tau", [0.0, 0.01, 1.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_solution_and_gradient_are_those_of_dense_matrices(
    tau: float, dtype: torch.dtype, tolerance: float
):
    """The gradient in a weight is −∇u·∇v, v from a dense solve."""
    features = random(60, 3)
    matrix = dense_weights(features, 6, "self-tuning")
    labels = torch.eye(3, dtype=dtype)[torch.arange(9) % 3]
    graph = knn_graph(features.to(dtype), 6)
    weights = graph.weights.clone().requires_grad_()
    varied = SimilarityGraph(graph.edge_index, weights, 60)
    solution = solve_graph_equation(varied, labels, torch.arange(9), Laplace(tau))
    values = dense_solution(matrix, labels.double(), tau)
    assert solution.status is Status.CONVERGED
    assert solution.residual < tolerance
    assert relative_error(solution.values[9:].double(), values) < tolerance
    assert torch.equal(solution.values[:9], labels)

    upstream = random(60, 3, seed=1)
    (gradient,) = torch.autograd.grad((solution.values * upstream.to(dtype)).sum(), weights)
    laplacian = torch.diag(matrix.sum(dim=1) + tau) - matrix
    adjoint = torch.linalg.solve(laplacian[9:, 9:], upstream[9:])
    u, v = torch.cat([labels.double(), values]), torch.cat([torch.zeros(9, 3), adjoint])
    i, j = graph.edge_index
    expected = -((u[i] - u[j]) * (v[i] - v[j])).sum(dim=1)
    assert relative_error(gradient.double(), expected) < tolerance


def test_too_few_iterations_are_reported(monkeypatch: pytest.MonkeyPatch):
    only_iterate(monkeypatch)
    features = random(60, 3).requires_grad_()
    exact = solve_graph_equation(knn_graph(features, 6), ONE_HOT, LABELED)
    monkeypatch.setattr(solve, "MAX_ITERATIONS", 2)
    solution = solve_graph_equation(knn_graph(features, 6), ONE_HOT, LABELED)
    assert solution.status is Status.NOT_CONVERGED
    assert solution.iterations == 2
    assert solution.values.isfinite().all()
    with pytest.warns(RuntimeWarning, match=Status.NOT_CONVERGED.value.split(":")[0]):
        torch.autograd.grad(exact.values[:, 0].square().sum(), features)


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_solution_does_not_depend_on_the_unit_of_the_weights(scale: float):
    graph = knn_graph(random(60, 3), 6)
    scaled = SimilarityGraph(graph.edge_index, scale * graph.weights, 60)
    expected = solve_graph_equation(graph, ONE_HOT, LABELED).values
    torch.testing.assert_close(solve_graph_equation(scaled, ONE_HOT, LABELED).values, expected)


def test_subtraction_free_factor_equals_cholesky():
    weights = dense_graph(knn_graph(random(20, 3), 4))
    excess = random(20, 3, seed=1).abs().sum(dim=1)
    matrix = torch.diag(weights.sum(dim=1) + excess) - weights
    factor = subtraction_free_factor(weights, excess)
    torch.testing.assert_close(factor, torch.linalg.cholesky(matrix))


def test_weak_link_is_solved_exactly():
    """Two nodes between two labels, by links of 1e-18 and 3e-18: u follows their ratio."""
    weights = torch.tensor([1e-18, 1.0, 3e-18], dtype=torch.float64)
    graph = SimilarityGraph(torch.tensor([[0, 1, 2], [1, 2, 3]]), weights, 4)
    values = solve_graph_equation(graph, ONE_HOT, torch.tensor([0, 3])).values
    torch.testing.assert_close(values[1], torch.tensor([0.25, 0.75], dtype=torch.float64))


def chained_clusters(link: float) -> SimilarityGraph:
    """Three complete clusters of ten nodes in a row, joined by two weak links."""
    i, j = torch.triu_indices(10, 10, offset=1)
    inner = [torch.stack([i, j]) + 10 * place for place in range(3)]
    edges = torch.cat([*inner, torch.tensor([[0, 10], [10, 20]])], dim=1)
    weights = torch.ones(edges.shape[1], dtype=torch.float64)
    weights[-2:] = link
    return SimilarityGraph(edges, weights, 30)


@pytest.mark.parametrize("link", [1e-6, 1e-12, 1e-17])
def test_iteration_that_loses_a_weak_link_says_so(link: float, monkeypatch: pytest.MonkeyPatch):
    """The middle cluster is half way between the labels of the others, however weak the links.

    A factor solves it; so does the iteration that is rescued by one.
    """
    graph, labeled = chained_clusters(link), torch.tensor([1, 29])
    for limit in (500, 0):
        monkeypatch.setattr(solve, "DENSE_UP_TO", limit)
        exact = solve_graph_equation(graph, ONE_HOT, labeled)
        assert exact.status is Status.CONVERGED
        torch.testing.assert_close(exact.values[10:20], HALVES, atol=1e-5 * (limit == 0), rtol=1e-7)
    only_iterate(monkeypatch)
    iterated = solve_graph_equation(graph, ONE_HOT, labeled)
    assert iterated.status is (Status.CONVERGED if link == 1e-6 else Status.ILL_CONDITIONED)
    if link == 1e-6:
        torch.testing.assert_close(iterated.values[10:20], HALVES, atol=1e-5, rtol=0)


def test_columns_of_very_different_size_are_solved_equally_well():
    graph, labeled = knn_graph(random(60, 3), 6), torch.tensor([0, 1, 2])
    labels = torch.eye(3, dtype=torch.float64)
    scale = torch.tensor([1.0, 1.0, 1e6], dtype=torch.float64)
    alone = solve_graph_equation(graph, labels[:, :2], labeled, PLaplace(1.5))
    together = solve_graph_equation(graph, labels * scale, labeled, PLaplace(1.5))
    torch.testing.assert_close(together.values[:, :2], alone.values, atol=1e-9, rtol=0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_residual_of_a_nonlinear_equation_is_relative(scale: float):
    labels = scale * torch.eye(3, dtype=torch.float64)
    graph = knn_graph(random(60, 3), 6)
    solution = solve_graph_equation(graph, labels, torch.tensor([0, 1, 2]), PLaplace(10.0))
    assert solution.status is Status.CONVERGED
    assert solution.residual < 1e-9
