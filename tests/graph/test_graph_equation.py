"""Laws of neighbour search, weights, Laplacians and solutions."""

import pytest
import torch
from oracles import dense_solution, dense_weights, relative_error
from small_graph import only_iterate
from torch import Tensor

from lapbench.methods.graph import (
    FixedBandwidth,
    Laplace,
    SelfTuning,
    SimilarityGraph,
    Status,
    knn_graph,
    nearest_neighbors,
    solve,
    solve_graph_equation,
)
from lapbench.methods.graph.dense import subtraction_free_factor

KERNELS = {"self-tuning": SelfTuning(), 2.0: FixedBandwidth(2.0)}


def random_features(nodes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(nodes)
    return torch.randn(nodes, 3, dtype=torch.float64, generator=generator).to(dtype)


def dense(graph: SimilarityGraph) -> Tensor:
    matrix = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=graph.weights.dtype)
    matrix[tuple(graph.edge_index)] = graph.weights
    return matrix + matrix.T


@pytest.mark.parametrize("bandwidth", KERNELS)
@pytest.mark.parametrize("k", [1, 5, 49])
def test_weights_equal_their_definition(bandwidth: float | str, k: int):
    features = random_features(50)
    graph = knn_graph(features, k, KERNELS[bandwidth])
    torch.testing.assert_close(dense(graph), dense_weights(features, k, bandwidth))


def test_neighbours_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch):
    features = random_features(200)
    whole = nearest_neighbors(features, 5)
    monkeypatch.setattr("lapbench.methods.graph.knn._NUMBERS_ON_CPU", 1)
    chunked = nearest_neighbors(features, 5)
    assert torch.equal(whole.indices, chunked.indices)
    assert torch.equal(whole.distances, chunked.distances)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("values", [2, 10, 10_000])
def test_neighbours_of_tied_and_crowded_points_are_those_of_a_loop(values: int, offset: float):
    """Whole numbers have exact distances; few of them give ties and duplicates in plenty."""
    generator = torch.Generator().manual_seed(values)
    points = torch.randint(values, (150, 3), generator=generator)
    neighbors = nearest_neighbors((points + offset).float(), 7).indices
    for node in range(150):
        squared = (points - points[node]).square().sum(dim=1).tolist()
        others = sorted((square, other) for other, square in enumerate(squared) if other != node)
        assert neighbors[node].tolist() == [other for _, other in others[:7]]


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_neighbours_of_float32_points_far_from_the_origin_are_exact(offset: float):
    generator = torch.Generator().manual_seed(1)
    features = (torch.randn(200, 30, generator=generator) + offset).float()
    squared = (features[:, None].double() - features[None].double()).square().sum(dim=2)
    squared.fill_diagonal_(torch.inf)
    expected = squared.sort(dim=1, stable=True).indices[:, :9]
    assert torch.equal(nearest_neighbors(features, 9).indices, expected)


def test_annoy_finds_most_neighbours_and_their_true_distances():
    pytest.importorskip("annoy", reason="annoy is an optional dependency")
    features = random_features(200)
    exact, approximate = (nearest_neighbors(features, 5, backend) for backend in ("exact", "annoy"))
    found = (exact.indices[:, :, None] == approximate.indices[:, None]).any(dim=2)
    assert found.double().mean() > 0.9
    true = (features[:, None] - features[approximate.indices]).norm(dim=2)
    torch.testing.assert_close(approximate.distances, true)
    assert (approximate.distances.diff(dim=1) >= 0).all()
    assert (approximate.indices != torch.arange(200)[:, None]).all()


def test_missing_annoy_names_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "annoy", None)
    with pytest.raises(ImportError, match=r'pip install "lapbench\[annoy\]"'):
        nearest_neighbors(random_features(10), 2, "annoy")


def test_laplacian_product_equals_the_matrix():
    graph = knn_graph(random_features(20), 4)
    weights = dense(graph)
    values = random_features(20)
    expected = (torch.diag(weights.sum(dim=1)) - weights) @ values
    torch.testing.assert_close(graph.laplacian_product(values), expected)
    torch.testing.assert_close(graph.degrees(), weights.sum(dim=1))


@pytest.fixture(params=["dense", "iterative"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both solvers on the same small graphs."""
    if request.param == "iterative":
        only_iterate(monkeypatch)
    return str(request.param)


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("tau", [0.0, 0.01, 1.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
class TestSolution:
    def graph(self, dtype: torch.dtype) -> tuple[SimilarityGraph, Tensor, Tensor]:
        labels = torch.eye(3, dtype=dtype)[torch.arange(9) % 3]
        return knn_graph(random_features(60, dtype), 6), labels, torch.arange(9)

    def test_equals_a_dense_solve(self, tau: float, dtype: torch.dtype, tolerance: float):
        graph, labels, labeled = self.graph(dtype)
        solution = solve_graph_equation(graph, labels, labeled, Laplace(tau))
        weights = dense_weights(random_features(60), 6, "self-tuning")
        expected = dense_solution(weights, labels.double(), tau)
        assert solution.status is Status.CONVERGED
        assert solution.residual < tolerance
        assert relative_error(solution.values[9:].double(), expected) < tolerance
        assert torch.equal(solution.values[:9], labels)

    def test_stays_between_the_labels(self, tau: float, dtype: torch.dtype, tolerance: float):
        graph, labels, labeled = self.graph(dtype)
        values = solve_graph_equation(graph, labels, labeled, Laplace(tau)).values
        assert values.min() >= -tolerance
        assert values.max() <= 1 + tolerance
        if tau == 0:
            torch.testing.assert_close(values.sum(dim=1), torch.ones(60, dtype=dtype))

    def test_moves_with_the_nodes(self, tau: float, dtype: torch.dtype, tolerance: float):
        """Permuting nodes permutes the solution."""
        graph, labels, labeled = self.graph(dtype)
        order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
        moved = knn_graph(random_features(60, dtype)[order], 6)
        where = order.argsort()
        values = solve_graph_equation(graph, labels, labeled, Laplace(tau)).values
        permuted = solve_graph_equation(moved, labels, where[labeled], Laplace(tau)).values
        assert relative_error(permuted, values[order]) < tolerance


def test_adjoint_identity_holds_for_weights():
    """<dJ/dw, h> equals the derivative of J along h: here by the dense formula −∇u·∇v."""
    graph = knn_graph(random_features(30), 5)
    weights = graph.weights.clone().requires_grad_()
    labels = torch.eye(2, dtype=torch.float64)
    upstream = random_features(30)[:, :2]
    free = SimilarityGraph(graph.edge_index, weights, 30)
    values = solve_graph_equation(free, labels, torch.tensor([4, 7])).values
    (found,) = torch.autograd.grad((values * upstream).sum(), weights)

    matrix = dense(graph)
    laplacian = torch.diag(matrix.sum(dim=1)) - matrix
    inner = [node for node in range(30) if node not in (4, 7)]
    adjoint = torch.zeros(30, 2, dtype=torch.float64)
    adjoint[inner] = torch.linalg.solve(laplacian[inner][:, inner], upstream[inner])
    i, j = graph.edge_index
    expected = -((values[i] - values[j]) * (adjoint[i] - adjoint[j])).sum(dim=1)
    torch.testing.assert_close(found, expected.detach())


def test_too_few_iterations_are_reported(monkeypatch: pytest.MonkeyPatch):
    only_iterate(monkeypatch)
    monkeypatch.setattr(solve, "MAX_ITERATIONS", 2)
    graph = knn_graph(random_features(60), 6)
    solution = solve_graph_equation(graph, torch.eye(2, dtype=torch.float64), torch.tensor([0, 1]))
    assert solution.status is Status.NOT_CONVERGED
    assert solution.iterations == 2
    assert solution.values.isfinite().all()


def test_adjoint_that_does_not_converge_warns(monkeypatch: pytest.MonkeyPatch):
    only_iterate(monkeypatch)
    features = random_features(60).requires_grad_()
    labels = torch.eye(2, dtype=torch.float64)
    values = solve_graph_equation(knn_graph(features, 6), labels, torch.tensor([0, 1])).values
    monkeypatch.setattr(solve, "MAX_ITERATIONS", 2)
    with pytest.warns(RuntimeWarning, match="adjoint of the graph equation not converged"):
        torch.autograd.grad(values[:, 0].square().sum(), features)


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_solution_does_not_depend_on_the_unit_of_the_weights(scale: float):
    graph = knn_graph(random_features(60), 6)
    scaled = SimilarityGraph(graph.edge_index, scale * graph.weights, 60)
    labels, labeled = torch.eye(2, dtype=torch.float64), torch.tensor([0, 1])
    expected = solve_graph_equation(graph, labels, labeled).values
    torch.testing.assert_close(solve_graph_equation(scaled, labels, labeled).values, expected)


def test_subtraction_free_factor_equals_cholesky():
    weights = dense(knn_graph(random_features(20), 4))
    excess = random_features(20).abs().sum(dim=1)
    matrix = torch.diag(weights.sum(dim=1) + excess) - weights
    found = subtraction_free_factor(weights, excess)
    torch.testing.assert_close(found, torch.linalg.cholesky(matrix))


def test_weak_link_is_solved_exactly():
    """Two nodes between two labels, by links of 1e-18 and 3e-18: u follows their ratio."""
    edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
    weights = torch.tensor([1e-18, 1.0, 3e-18], dtype=torch.float64)
    graph = SimilarityGraph(edges, weights, 4)
    labels = torch.eye(2, dtype=torch.float64)
    values = solve_graph_equation(graph, labels, torch.tensor([0, 3])).values
    torch.testing.assert_close(values[1], torch.tensor([0.25, 0.75], dtype=torch.float64))
