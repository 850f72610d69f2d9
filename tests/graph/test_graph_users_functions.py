"""A user's functions are checked, and what they get wrong is named."""

import pytest
import torch
from small_graph import random
from torch import Tensor

from lapbench.methods.graph import (
    Cosine,
    EdgeGeometry,
    GraphEquation,
    Kernel,
    NonFiniteError,
    Radial,
    SimilarityGraph,
    Status,
    knn_graph,
    nearest_neighbors,
    solve_graph_equation,
)

LABELED = torch.tensor([0, 5])


def graph() -> SimilarityGraph:
    return knn_graph(random(30, 3), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phi": lambda q, x, y: q.sum(dim=1)}, r"phi: returned \(64,\)"),
        ({"phi": lambda q, x, y: 1.0}, "phi: returned 1.0"),
        ({"phi": lambda q, x, y: q.float()}, "phi: returned .* of torch.float32"),
        ({"phi": lambda q, x, y: q * q.square().sum(dim=1, keepdim=True)}, "phi: .*other columns"),
        (
            {"phi": lambda q, x, y: q, "phi_derivative": lambda q, x, y: 3 * torch.ones_like(q)},
            "phi_derivative: differs",
        ),
        ({"phi": lambda q, x, y: q, "tau": lambda u, x: u[:, 0]}, r"tau: returned \(30,\)"),
        (
            {
                "phi": lambda q, x, y: q,
                "tau": lambda u, x: u**3,
                "tau_derivative": lambda u, x: u**2,
            },
            "tau_derivative: differs",
        ),
    ],
)
def test_function_that_is_not_elementwise_is_named(options: dict, message: str):
    labels = torch.eye(2, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        solve_graph_equation(graph(), labels, LABELED, GraphEquation(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"phi": lambda q, x, y: torch.log(q)},
        {"phi": lambda q, x, y: q, "tau": lambda u, x: u.log()},
    ],
)
def test_function_without_a_finite_value_is_named(options: dict):
    labels = torch.eye(2, dtype=torch.float64)
    with pytest.raises(NonFiniteError, match=r"phi|tau"):
        solve_graph_equation(graph(), labels, LABELED, GraphEquation(**options))


def test_function_may_differ_between_columns():
    scale = torch.tensor([1.0, 3.0], dtype=torch.float64)
    equation = GraphEquation(lambda q, x, y: scale * q, tau=lambda u, x: u)
    found = solve_graph_equation(graph(), torch.eye(2, dtype=torch.float64), LABELED, equation)
    assert found.status is Status.CONVERGED
    single = GraphEquation(lambda q, x, y: 3 * q, tau=1.0)
    labels = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    expected = solve_graph_equation(graph(), labels, LABELED, single).values
    torch.testing.assert_close(found.values[:, 1:], expected)


def test_slope_of_a_kernel_that_is_infinite_at_duplicates_leaves_the_gradient_finite():
    features = torch.cat([random(30, 3)] * 2).requires_grad_()
    weights = knn_graph(features, 8, Radial(lambda ratio: torch.exp(-ratio.sqrt()))).weights
    (gradient,) = torch.autograd.grad(weights.sum(), features)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


class Wrong(Kernel):
    """Returns what it was given."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __call__(self, geometry: EdgeGeometry) -> Tensor:
        """Return weights that do not fit."""
        return (
            self.weights.expand(len(geometry.squared_distances))
            if (self.weights.ndim == 0)
            else self.weights
        )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3, 2), r"returned weights of shape \(3, 2\)"),
        (torch.tensor(-1.0), "negative weight"),
        (torch.tensor(torch.nan), "negative weight or NaN"),
    ],
)
def test_wrong_weights_of_a_kernel_are_named(weights: Tensor, message: str):
    with pytest.raises(ValueError, match=f"kernel: .*{message}"):
        knn_graph(random(30, 3), 4, Wrong(weights))


def test_class_in_the_place_of_an_object_is_named():
    with pytest.raises(ValueError, match=r"kernel: received .*Cosine"):
        knn_graph(random(30, 3), 4, Cosine)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"equation: received .*GraphEquation"):
        solve_graph_equation(
            graph(),
            torch.eye(2, dtype=torch.float64),
            LABELED,
            GraphEquation,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize(
    ("edges", "weights", "message"),
    [
        ([[0, 1], [1, 0]], [1.0, -1.0], r"edge 1 = \(1, 0\) of weight -1"),
        ([[0, 1], [1, 9]], [1.0, 1.0], r"edge 1 = \(1, 9\).*nodes 0..2"),
        ([[0, 1], [1, 2]], [1.0], r"weights of shape \(1,\)"),
        ([[0, 0], [1, 1]], [1.0, 1.0], r"edge 1 = \(0, 1\) is repeated"),
    ],
)
def test_wrong_directed_edges_are_named(edges: list, weights: list, message: str):
    with pytest.raises(ValueError, match=message):
        SimilarityGraph.from_directed(torch.tensor(edges), torch.tensor(weights), 3)


@pytest.mark.parametrize("copies", [8, 9, 40])
def test_neighbours_among_many_copies_are_the_first(copies: int):
    """Shuffled copies of few points; with 8 of them and k = 8 one neighbour is another point."""
    points = random(12, 3).repeat(copies, 1)
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    points = points[order].float()
    found = nearest_neighbors(points, 8)
    squared = (points[:, None].double() - points[None].double()).square().sum(dim=2)
    squared.fill_diagonal_(torch.inf)
    expected = squared.sort(dim=1, stable=True)
    assert torch.equal(found.indices, expected.indices[:, :8])
    torch.testing.assert_close(found.distances.double(), expected.values[:, :8].sqrt())
