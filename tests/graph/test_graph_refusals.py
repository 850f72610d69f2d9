"""What the graph numerics cannot take is refused, and the message names it."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from expect_refusal import refused
from make_graphs import EQUATIONS, random
from make_small_graph import LABELED, LABELS, SOURCE, graph, solve
from torch import Tensor

from lapbench.methods.graph import (
    WNLL,
    Cosine,
    EdgeGeometry,
    FixedBandwidth,
    GraphEquation,
    GraphLearningLayer,
    Kernel,
    Laplace,
    NeighborBandwidth,
    NonFiniteError,
    PLaplace,
    Poisson,
    Radial,
    SimilarityGraph,
    SoftConstraint,
    knn_graph,
    nearest_neighbors,
    similarity_graph,
    solve_graph_equation,
)

NAN, INF = float("nan"), float("inf")
POINTS = random(30, 3)


def layer(features: Tensor, labels: Tensor | None = None) -> Callable[[], object]:
    return lambda: GraphLearningLayer(2)(features, torch.eye(2) if labels is None else labels)


def points_with(value: float) -> Tensor:
    features = torch.ones(5, 2)
    features[3, 1] = value
    return features


def edges(index: list, weights: list[float], build: Any = SimilarityGraph) -> Callable[[], object]:
    return lambda: build(torch.tensor(index), torch.tensor(weights), 3)


def labeled(nodes: list[int] | Tensor, labels: Tensor | None = None) -> Callable[[], object]:
    path = SimilarityGraph(torch.tensor([[0, 1], [1, 2]]), torch.ones(2), 3)
    labels = torch.eye(2) if labels is None else labels
    return lambda: solve_graph_equation(path, labels, torch.as_tensor(nodes))


def own(phi: Any = lambda q, x, y: q, *others: Any) -> Callable[[], object]:
    """Solve a user's equation of φ, τ and their derivatives."""
    return lambda: solve(GraphEquation(phi, *others))


class Wrong(Kernel):
    """Returns what it was given, for each edge if it is a number."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        number = self.weights.ndim == 0
        return self.weights.expand(len(geometry.squared_distances)) if number else self.weights


def weighted(weights: float | Tensor) -> Callable[[], object]:
    return lambda: knn_graph(POINTS, 4, Wrong(torch.as_tensor(weights)))


CASES: list[tuple[Callable[[], object], tuple[object, ...]]] = [
    (lambda: GraphLearningLayer(0), ("k: ", 0)),
    (lambda: GraphLearningLayer(2.5), ("k: ", 2.5)),
    (lambda: GraphLearningLayer(bandwidth="auto"), ("bandwidth: ", "auto")),
    (lambda: GraphLearningLayer(bandwidth=-1.0), ("bandwidth: ", -1.0)),
    (lambda: GraphLearningLayer(bandwidth=None), ("bandwidth: ", None)),
    (lambda: FixedBandwidth(1e200), ("bandwidth: ", 1e200)),
    (layer(torch.randn(5, 2), torch.zeros(0, 2)), ("base_labels: ", "0 rows", "5 features")),
    (layer(torch.randn(5, 2), torch.zeros(6, 2)), ("base_labels: ", "6 rows", "5 features")),
    (lambda: nearest_neighbors(POINTS, 1, "faiss"), ("backend: ", "'faiss'", "'exact'", "'annoy'")),
    (lambda: nearest_neighbors(POINTS, 0), ("k: ", 0)),
    (lambda: nearest_neighbors(POINTS, 1, recall_sample=-1), ("recall_sample: ", -1)),
    (lambda: nearest_neighbors(POINTS[:1], 1), ("features: ", "1 row")),
    (lambda: nearest_neighbors(torch.ones(4), 1), ("features: ", (4,))),
    (lambda: knn_graph(POINTS, 4, symmetrize="min"), ("symmetrize: ", "'min'", "'max'", "'mean'")),
    (lambda: knn_graph(POINTS, 4, Cosine), ("kernel: ", Cosine)),
    (lambda: knn_graph(POINTS, 4, NeighborBandwidth(5)), ("rank: ", 5, 4)),
    (
        lambda: similarity_graph(POINTS, nearest_neighbors(POINTS, 4), NeighborBandwidth(5)),
        ("rank: ", 5, 4),
    ),
    (lambda: similarity_graph(POINTS, nearest_neighbors(POINTS[:9], 4)), ("neighbors: ", 9, 30)),
    *[(lambda rank=rank: NeighborBandwidth(rank), ("rank: ", rank)) for rank in (0, -1, 2.5)],
    (weighted(torch.ones(3, 2)), ("kernel: ", "Wrong", (3, 2))),
    (weighted(-1.0), ("kernel: ", "Wrong", "negative")),
    (weighted(NAN), ("kernel: ", "Wrong", "NaN")),
    (edges([[0, 1], [1, 1]], [1, 1.0]), ("edge 1 = (1, 1)", "self-loop")),
    (edges([[0, 2], [1, 1]], [1, 1.0]), ("edge 1 = (2, 1)", "i < j")),
    (edges([[0, 0, 0], [1, 2, 1]], [1, 1, 1.0]), ("edge 2 = (0, 1)", "repeated")),
    (edges([[0, 1], [1, 7]], [1, 1.0]), ("edge 1 = (1, 7)", "0..2")),
    (edges([[0, 1], [1, 2]], [1, -1.0]), ("edge 1 = (1, 2)", "-1", ">= 0")),
    (edges([[0, 1], [1, 2]], [1, NAN]), ("edge 1 = (1, 2)", "nan", ">= 0")),
    (edges([[0, 1], [1, 2]], [1.0]), ("weights: ", (1,), "2 edges")),
    (edges([0, 1], [1.0]), ("edge_index: ", (2,), "(2, E)")),
    (
        edges([[0, 1], [1, 0]], [1, -1.0], SimilarityGraph.from_directed),
        ("edge 1 = (1, 0)", "-1", ">= 0"),
    ),
    (edges([[0, 1], [1, 9]], [1, 1.0], SimilarityGraph.from_directed), ("edge 1 = (1, 9)", "0..2")),
    (edges([[0, 1], [1, 2]], [1.0], SimilarityGraph.from_directed), ("weights", (1,))),
    (
        edges([[0, 0], [1, 1]], [1, 1.0], SimilarityGraph.from_directed),
        ("edge 1 = (0, 1)", "repeated"),
    ),
    (labeled([0, 0]), ("labeled: ", "repeated")),
    (labeled([0, 5]), ("labeled: ", "0..2")),
    (labeled([-1, 0]), ("labeled: ", "0..2")),
    (labeled([0]), ("labels", (2, 2), (1,))),
    (labeled(torch.tensor([0.0, 1.0])), ("labeled: ", torch.float32)),
    (labeled([0, 1], torch.eye(2) * 1j), ("labels: ", torch.complex64)),
    (lambda: solve(Laplace(), LABELS[:0]), ("labels", (0, 3), (4,))),
    (
        lambda: solve_graph_equation(graph(), LABELS[:0], LABELED[:0], Laplace()),
        ("labels: ", "tau = 0"),
    ),
    (lambda: solve(GraphEquation), ("equation: ", GraphEquation)),
    *[
        (lambda given=given: solve(Laplace(), source=given), ("source: ", (20, 3)))
        for given in (SOURCE[:5], SOURCE[:, :2], SOURCE[:, 0])
    ],
    *[
        (
            lambda row=row: solve_graph_equation(graph(True), LABELS, LABELED, row.equation),
            ("graph: ", "weights_reverse", "symmetrize"),
        )
        for row in EQUATIONS.values()
        if not row.directed
    ],
    (lambda: WNLL("1"), ("label_weight: ", "'1'", "'ratio - 1'", "'ratio'")),
    (lambda: SoftConstraint(-1.0), ("strength: ", -1.0)),
    (lambda: SoftConstraint(0.0), ("strength: ", 0.0)),
    (lambda: Poisson("l2"), ("normalisation: ", "'l2'", "'none'", "'degree'")),
    *[(lambda p=p: PLaplace(p), ("p: ", p, "1.5", "10")) for p in (1.0, 1.49, 10.1, NAN)],
    (lambda: Laplace(-0.1), ("tau: ", -0.1)),
    (lambda: SoftConstraint(1.0, -1.0), ("tau: ", -1.0)),
    (lambda: PLaplace(3.0, -1.0), ("tau: ", -1.0)),
    (lambda: GraphEquation(lambda q, *_: q, -1.0), ("tau: ", -1.0)),
    (own(lambda q, x, y: q.sum(dim=1)), ("phi: ", "(64,)")),
    (own(lambda q, x, y: 1.0), ("phi: ", 1.0)),
    (own(lambda q, x, y: q.float()), ("phi: ", torch.float32)),
    (own(lambda q, x, y: q * q.square().sum(dim=1, keepdim=True)), ("phi: ", "column")),
    (own(lambda q, x, y: q, 0.0, lambda q, x, y: 3 * torch.ones_like(q)), ("phi_derivative: ",)),
    (own(lambda q, x, y: q, lambda u, x: u[:, 0]), ("tau: ", "(20,)")),
    (own(lambda q, x, y: q, lambda u, x: u**3, None, lambda u, x: u**2), ("tau_derivative: ",)),
]

NOT_FINITE: list[tuple[Callable[[], object], tuple[object, ...]]] = [
    (layer(points_with(NAN)), ("features: ", "1 of 5 rows", "row 3")),
    (layer(points_with(INF)), ("features: ", "1 of 5 rows", "row 3")),
    (layer(1e30 * random(20, 3).float()), ("features: ", torch.float32, "learning rate")),
    (layer(torch.randn(5, 2), torch.tensor([[1, 0], [0, NAN]])), ("labels: ", "row 1")),
    (lambda: solve(Laplace(), source=SOURCE / 0), ("source: ", "row 0")),
    (own(lambda q, x, y: torch.log(q)), ("phi",)),
    (own(lambda q, x, y: q, lambda u, x: u.log()), ("tau",)),
]


@pytest.mark.parametrize(("call", "named"), CASES)
def test_wrong_argument_is_named(call: Callable[[], object], named: tuple[object, ...]):
    with refused(ValueError, *named):
        call()


@pytest.mark.parametrize(("call", "named"), NOT_FINITE)
def test_value_that_is_not_finite_is_named(call: Callable[[], object], named: tuple[object, ...]):
    with refused(NonFiniteError, *named):
        call()


def test_derivative_that_is_not_finite_is_named():
    """φ is finite at the start, and its slope is not."""
    with refused(NonFiniteError, "phi", "derivative"):
        solve(GraphEquation(lambda q, x, y: q.sign() * q.abs().sqrt() + 0 * q), LABELS * 0)


def test_missing_annoy_names_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "annoy", None)
    with refused(ImportError, 'pip install "lapbench[annoy]"'):
        nearest_neighbors(POINTS, 2, "annoy")


def test_slope_of_a_kernel_that_is_infinite_at_duplicates_leaves_the_gradient_finite():
    features = torch.cat([POINTS] * 2).requires_grad_()
    weights = knn_graph(features, 8, Radial(lambda ratio: torch.exp(-ratio.sqrt()))).weights
    (gradient,) = torch.autograd.grad(weights.sum(), features)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0
