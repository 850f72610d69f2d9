"""Kernels and their symmetrisations against loops over pairs of nodes."""

import math
from collections.abc import Callable

import pytest
import torch
from make_graphs import dense_graph, random
from oracle_graph import finite_differences, relative_error
from torch import Tensor

from lapbench.methods.graph import (
    Cosine,
    FixedBandwidth,
    Kernel,
    NeighborBandwidth,
    Radial,
    SelfTuning,
    SimilarityGraph,
    knn_graph,
    nearest_neighbors,
    similarity_graph,
)

K, RANK, BANDWIDTH = 4, 3, 1.5
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}


def inverse_square(ratio: Tensor) -> Tensor:
    return 1 / (1 + ratio) ** 2


KERNELS: dict[str, Kernel] = {
    "self-tuning": SelfTuning(),
    "fixed": FixedBandwidth(BANDWIDTH),
    "neighbor": NeighborBandwidth(RANK),
    "cosine": Cosine(),
    "radial": Radial(inverse_square),
}

SYMMETRIZED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "max": torch.maximum,
    "mean": lambda forth, back: (forth + back) / 2,
    "sum": lambda forth, back: forth + back,
}


def loop_neighbors(points: list[list[float]], k: int) -> list[list[int]]:
    """Indices of the k nearest others of each point, nearest first."""
    nodes = range(len(points))
    return [
        sorted((y for y in nodes if y != x), key=lambda y, x=x: math.dist(points[x], points[y]))[:k]
        for x in nodes
    ]


def loop_weights(kernel: str, features: Tensor, k: int) -> list[list[float]]:
    """Directed weights w(x, y), 0 unless y is among the k neighbours of x."""
    points = features.double().tolist()
    unit = [[value / math.hypot(*point) for value in point] for point in points]
    neighbors = loop_neighbors(unit if kernel == "cosine" else points, k)
    farthest = [math.dist(points[x], points[near[-1]]) for x, near in enumerate(neighbors)]
    ranked = [
        math.dist(points[x], points[near[min(RANK, k) - 1]]) for x, near in enumerate(neighbors)
    ]

    def weight(x: int, y: int) -> float:
        squared = math.dist(points[x], points[y]) ** 2
        local = squared / (farthest[x] * farthest[y])
        match kernel:
            case "self-tuning":
                return math.exp(-4 * local)
            case "fixed":
                return math.exp(-4 * squared / BANDWIDTH**2)
            case "neighbor":
                return math.exp(-squared / ranked[x] ** 2)
            case "cosine":
                return max(sum(a * b for a, b in zip(unit[x], unit[y], strict=True)), 0.0)
        return 1 / (1 + local) ** 2

    nodes = range(len(points))
    return [[weight(x, y) if y in neighbors[x] else 0.0 for y in nodes] for x in nodes]


def features_of(dtype: torch.dtype = torch.float64) -> Tensor:
    return random(14, 3, seed=7).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("symmetrize", [*SYMMETRIZED, None])
@pytest.mark.parametrize("k", [1, K, 13])
def test_weights_equal_their_definition(
    kernel: str, symmetrize: str | None, k: int, dtype: torch.dtype
):
    features = features_of(dtype)
    directed = torch.tensor(loop_weights(kernel, features, k), dtype=torch.float64)
    expected = SYMMETRIZED[symmetrize](directed, directed.T) if symmetrize else directed
    kind = NeighborBandwidth(min(RANK, k)) if kernel == "neighbor" else KERNELS[kernel]
    graph = knn_graph(features, k, kind, symmetrize=symmetrize)
    assert (graph.weights_reverse is None) == bool(symmetrize)
    assert graph.weights.dtype == dtype
    assert relative_error(dense_graph(graph), expected) < TOLERANCES[dtype]


@pytest.mark.parametrize("symmetrize", [*SYMMETRIZED, None])
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_of_weights_matches_finite_differences(kernel: str, symmetrize: str | None):
    upstream = random(2, 14 * K, seed=8)

    def objective(features: Tensor) -> Tensor:
        graph = knn_graph(features, K, KERNELS[kernel], symmetrize=symmetrize)
        parts = [graph.weights, graph.weights_reverse]
        return sum(
            (part * weight[: len(part)]).sum()
            for part, weight in zip(parts, upstream, strict=True)
            if part is not None
        )

    at = features_of()[4:]
    point = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(point), point)
    assert relative_error(gradient, finite_differences(objective, at)) < 1e-8


@pytest.mark.parametrize("kernel", KERNELS)
def test_graph_of_given_neighbours_is_the_knn_graph(kernel: str):
    """Cosine takes the neighbours of rows of length 1, where all are nearest by angle."""
    features = torch.nn.functional.normalize(features_of())
    graph = similarity_graph(features, nearest_neighbors(features, K), KERNELS[kernel])
    expected = knn_graph(features, K, KERNELS[kernel])
    torch.testing.assert_close(dense_graph(graph), dense_graph(expected))


def test_cosine_does_not_see_the_length_of_features():
    lengths = 10 ** random(14, 1, seed=9)
    graph, scaled = (knn_graph(at, K, Cosine()) for at in (features_of(), lengths * features_of()))
    torch.testing.assert_close(dense_graph(graph), dense_graph(scaled))


def test_cosine_of_a_row_of_zeros_is_zero():
    features = features_of()
    features[2] = 0
    weights = dense_graph(knn_graph(features.requires_grad_(), K, Cosine()))
    assert weights.isfinite().all()
    assert (weights[2] == 0).all()


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_orthogonal_features_have_cosine_zero(dtype: torch.dtype):
    """Exactly: a rounding error would connect them."""
    blocks = torch.block_diag(*(random(7, 2, seed=seed).abs() for seed in (10, 11)))
    weights = dense_graph(knn_graph(blocks.to(dtype), 13, Cosine()))
    assert (weights[:7, 7:] == 0).all()


@pytest.mark.parametrize("kernel", [SelfTuning(), Radial(inverse_square)], ids=["self", "radial"])
def test_weights_in_local_units_do_not_depend_on_the_unit_of_features(kernel: Kernel):
    graph, scaled = (knn_graph(unit * features_of(), K, kernel) for unit in (1, 1e6))
    torch.testing.assert_close(dense_graph(graph), dense_graph(scaled))


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("symmetrize", [*SYMMETRIZED, None])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("copies", [2, K + 2])
def test_duplicates_have_finite_weights_and_gradients(
    kernel: str, symmetrize: str | None, dtype: torch.dtype, copies: int
):
    features = features_of(dtype)
    features[:copies] = features[0].clone()
    graph = knn_graph(features.requires_grad_(), K, KERNELS[kernel], symmetrize=symmetrize)
    parts = [part for part in (graph.weights, graph.weights_reverse) if part is not None]
    (gradient,) = torch.autograd.grad(sum(part.sum() for part in parts), features)
    assert all(part.isfinite().all() for part in parts)
    assert gradient.isfinite().all()
    twins = (graph.edge_index[1] < copies) & (graph.weights > 0)
    full = 2.0 if symmetrize == "sum" else 1.0
    largest = graph.weights.new_tensor(full)
    torch.testing.assert_close(graph.weights[twins].amax(), largest)


@pytest.mark.parametrize("distance", [1e-15, 1e-20, 1e-30])
@pytest.mark.parametrize("kernel", KERNELS)
def test_distances_whose_squares_vanish_have_finite_gradients(kernel: str, distance: float):
    features = torch.zeros(6, 2)
    features[4:, 1] = torch.tensor([1.0, -2.0]) * distance
    weights = knn_graph(features.requires_grad_(), K, KERNELS[kernel]).weights
    (gradient,) = torch.autograd.grad(weights.sum(), features)
    assert weights.isfinite().all()
    assert gradient.isfinite().all()


def undirected_twice(graph: SimilarityGraph) -> tuple[Tensor, Tensor]:
    """Each edge in both directions, in a random order."""
    edges = torch.cat([graph.edge_index, graph.edge_index.flip(0)], dim=1)
    order = torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))
    reverse = graph.weights if graph.weights_reverse is None else graph.weights_reverse
    return edges[:, order], torch.cat([graph.weights, reverse])[order]


@pytest.mark.parametrize("symmetrize", [*SYMMETRIZED, None])
def test_graph_of_directed_edges_is_that_of_its_features(symmetrize: str | None):
    directed = knn_graph(features_of(), K, NeighborBandwidth(RANK), symmetrize=None)
    edges, weights = undirected_twice(directed)
    graph = SimilarityGraph.from_directed(edges, weights, 14, symmetrize)
    expected = knn_graph(features_of(), K, NeighborBandwidth(RANK), symmetrize=symmetrize)
    torch.testing.assert_close(dense_graph(graph), dense_graph(expected))


def test_weights_of_directed_edges_keep_their_gradient():
    edges, weights = undirected_twice(knn_graph(features_of(), K))
    weights.requires_grad_()
    graph = SimilarityGraph.from_directed(edges, weights, 14, "sum")
    (gradient,) = torch.autograd.grad(graph.weights.sum(), weights)
    torch.testing.assert_close(gradient, torch.ones_like(gradient))
