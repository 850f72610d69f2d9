"""p-Laplace, Poisson and WNLL by hand, and what the equations refuse."""

from collections.abc import Callable

import pytest
import torch
from graph_table import EQUATIONS, dense_graph, random
from oracles import relative_error
from small_graph import LABELED, LABELS, NODES, ONE_HOT, SOURCE, graph, solve
from torch import Tensor

from lapbench.methods.graph import (
    WNLL,
    GraphEquation,
    Laplace,
    PLaplace,
    Poisson,
    SimilarityGraph,
    SoftConstraint,
    Status,
    solve_graph_equation,
)


class TestPLaplace:
    @pytest.mark.parametrize("p", [1.5, 1.9, 2.0, 2.5, 3.0, 5.0, 10.0])
    def test_divides_a_step_between_two_links(self, p: float):
        """w₀ u^(p−1) = w₁ (1 − u)^(p−1) on a path of three nodes, as δ vanishes."""
        edges, weights = torch.tensor([[0, 1], [1, 2]]), torch.tensor([2.0, 0.5]).double()
        labels = torch.tensor([[0.0], [1.0]]).double()
        path = SimilarityGraph(edges, weights, 3)
        values = solve_graph_equation(path, labels, torch.tensor([0, 2]), PLaplace(p)).values
        ratio = (0.5 / 2.0) ** (1 / (p - 1))
        assert values[1].item() == pytest.approx(ratio / (1 + ratio), rel=1e-5)

    @pytest.mark.parametrize("p", [1.0, 1.49, 10.1, float("nan")])
    def test_refuses_powers_that_it_cannot_solve(self, p: float):
        with pytest.raises(ValueError, match=rf"p: received {p}.*1\.5.*10"):
            PLaplace(p)

    @pytest.mark.parametrize("p", [1.5, 3.0, 10.0])
    def test_has_a_constant_class_where_its_labels_are_constant(self, p: float):
        at = graph()
        weights = at.weights.clone().requires_grad_()
        labels = torch.ones(4, 1).double() * 0.7
        weighted = SimilarityGraph(at.edge_index, weights, NODES)
        solution = solve_graph_equation(weighted, labels, LABELED, PLaplace(p))
        assert solution.status is Status.DEGENERATE
        torch.testing.assert_close(solution.values, torch.full((NODES, 1), 0.7).double())
        (gradient,) = torch.autograd.grad(solution.values.square().sum(), weights)
        assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("p", [1.5, 3.0, 10.0])
def test_gradient_between_constant_components_is_finite(p: float, dtype: torch.dtype):
    """An edge of weight 0 between two of them: its derivative is beyond float32 for p = 10."""
    edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
    weights = torch.tensor([1e-8, 0.0, 1e-8], dtype=dtype, requires_grad=True)
    path = SimilarityGraph(edges, weights, 4)
    labels, ends = torch.tensor([[0.0], [1.0]], dtype=dtype), torch.tensor([0, 3])
    solution = solve_graph_equation(path, labels, ends, PLaplace(p))
    (gradient,) = torch.autograd.grad(solution.values.square().sum(), weights)
    assert solution.status is Status.DEGENERATE
    assert gradient.isfinite().all()


def total(values: Tensor, degrees: Tensor | None = None) -> Tensor:
    return (values if degrees is None else degrees[:, None] * values).sum(dim=0)


class TestPoisson:
    def test_of_two_nodes_follows_ohm(self):
        """w (u₀ − u₁) = (g₀ − g₁)/2, and u₀ = −u₁."""
        pair = SimilarityGraph(torch.tensor([[0], [1]]), torch.tensor([0.5]).double(), 2)
        labels = torch.tensor([[3.0], [1.0]]).double()
        values = solve_graph_equation(pair, labels, torch.tensor([0, 1]), Poisson()).values
        torch.testing.assert_close(values, torch.tensor([[1.0], [-1.0]]).double())

    @pytest.mark.parametrize("source", [None, SOURCE], ids=["labels", "source"])
    def test_has_mean_zero(self, source: Tensor | None):
        values = solve(Poisson(), ONE_HOT, source).values
        assert total(values).abs().max() < 1e-10
        by_degree = solve(Poisson("degree"), ONE_HOT, source).values
        assert total(by_degree, graph().degrees()).abs().max() < 1e-10

    @pytest.mark.parametrize("normalisation", ["none", "degree"])
    def test_has_rows_that_sum_to_zero_for_one_hot_labels(self, normalisation: str):
        values = solve(Poisson(normalisation), ONE_HOT, None).values
        assert values.sum(dim=1).abs().max() < 1e-10
        assert values.abs().max() > 0.01

    def test_has_normalisations_that_differ_by_a_constant(self):
        difference = solve(Poisson()).values - solve(Poisson("degree")).values
        torch.testing.assert_close(difference, difference[:1].expand(NODES, -1))
        assert difference.abs().max() > 1e-3

    def test_of_one_class_is_zero(self):
        at = graph()
        weights = at.weights.clone().requires_grad_()
        weighted = SimilarityGraph(at.edge_index, weights, NODES)
        solution = solve_graph_equation(weighted, torch.ones(4, 1).double(), LABELED, Poisson())
        assert solution.status is Status.DEGENERATE
        assert solution.values.abs().max() < 1e-12
        (gradient,) = torch.autograd.grad(solution.values.sum(), weights)
        assert gradient.abs().max() < 1e-12

    def test_refuses_an_unknown_normalisation(self):
        with pytest.raises(ValueError, match=r"normalisation: received 'l2'.*none.*degree"):
            Poisson("l2")  # type: ignore[arg-type]


class TestWNLL:
    def matrix(self, factor: float = NODES / 4) -> Tensor:
        """C with w(y, x) times a factor where y, and not x, is labelled; by loops."""
        weights = dense_graph(graph(directed=True))
        labeled, combined = LABELED.tolist(), torch.zeros_like(weights)
        for x in range(NODES):
            for y in range(NODES):
                boost = factor if x not in labeled and y in labeled else 1.0
                combined[x, y] = weights[x, y] + boost * weights[y, x]
        return combined

    def dense(self, combined: Tensor) -> Tensor:
        free = [x for x in range(NODES) if x not in LABELED.tolist()]
        laplacian = torch.diag(combined.sum(dim=1)) - combined
        values = torch.zeros(NODES, 3).double().index_put((LABELED,), LABELS)
        values[free] = torch.linalg.solve(
            laplacian[free][:, free], combined[free][:, LABELED] @ LABELS
        )
        return values

    @pytest.mark.parametrize(
        ("equation", "factor"),
        [(WNLL(), NODES / 4), (WNLL("ratio - 1"), NODES / 4), (WNLL("ratio"), 1 + NODES / 4)],
        ids=["default", "ratio - 1", "ratio"],
    )
    def test_equals_a_dense_solve(self, equation: WNLL, factor: float):
        """The factor is 1 + μ."""
        values = solve_graph_equation(graph(directed=True), LABELS, LABELED, equation).values
        assert relative_error(values, self.dense(self.matrix(factor))) < 1e-10

    def test_does_not_boost_the_symmetrised_weight(self):
        combined = dense_graph(graph(directed=True))
        combined = combined + combined.T
        combined[:, LABELED] *= NODES / 4
        values = solve_graph_equation(graph(directed=True), LABELS, LABELED, WNLL()).values
        assert relative_error(values, self.dense(combined)) > 0.1

    def test_of_all_nodes_labelled_is_their_labels(self):
        labels = random(NODES, 3, seed=5)
        everyone = torch.arange(NODES)
        solution = solve_graph_equation(graph(directed=True), labels, everyone, WNLL())
        assert torch.equal(solution.values, labels)


@pytest.mark.parametrize("name", [name for name, row in EQUATIONS.items() if not row.directed])
def test_directed_graph_is_refused_where_weights_are_symmetric(name: str):
    with pytest.raises(ValueError, match=r"graph: .*weights_reverse.*symmetrize"):
        solve_graph_equation(graph(directed=True), LABELS, LABELED, EQUATIONS[name].equation)


@pytest.mark.parametrize("source", [SOURCE[:5], SOURCE[:, :2], SOURCE[:, 0]])
def test_source_of_another_shape_is_refused(source: Tensor):
    with pytest.raises(ValueError, match=r"source: received shape .*\(20, 3\)"):
        solve(Laplace(), source=source)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: WNLL("1"), r"label_weight: received '1'; accepted are 'ratio - 1' and 'ratio'"),
        (lambda: SoftConstraint(-1.0), r"strength: received -1\.0"),
        (lambda: SoftConstraint(0.0), r"strength: received 0\.0"),
        (lambda: SoftConstraint(1.0, -1.0), r"tau: received -1\.0"),
        (lambda: PLaplace(3.0, -1.0), r"tau: received -1\.0"),
        (lambda: GraphEquation(lambda q, *_: q, -1.0), r"tau: received -1\.0"),
    ],
)
def test_wrong_parameter_is_named(build: Callable[[], object], message: str):
    with pytest.raises(ValueError, match=message):
        build()
