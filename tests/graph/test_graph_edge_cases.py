"""Inputs at the edge have a defined answer."""

import pytest
import torch
from oracle_graph import dense_solution, dense_weights

from lapbench.methods.gll import GraphLearningLayer, log_probabilities
from lapbench.methods.graph import (
    FixedBandwidth,
    Laplace,
    SimilarityGraph,
    Status,
    knn_graph,
    solve_graph_equation,
)

ONE_HOT = torch.eye(2, dtype=torch.float64)


def two_far_groups() -> torch.Tensor:
    """Nodes 0 to 5 near the origin, of which two will be labelled, and 6 to 9 out of reach."""
    near = torch.arange(6, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 0.3]])
    return torch.cat([near, near[:4] + 1e3])


@pytest.mark.parametrize("bandwidth", ["self-tuning", 1.0])
def test_unlabelled_copy_of_a_labelled_point_takes_nearly_its_label(bandwidth: float | str):
    """Its edge has weight 1, the largest; with k = 1 it is its only edge."""
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.9, 0.1]], dtype=torch.float64)
    values = GraphLearningLayer(1, bandwidth=bandwidth)(features, ONE_HOT)
    torch.testing.assert_close(values, ONE_HOT)


def test_more_copies_than_neighbours_leave_finite_values_and_gradients():
    """The bandwidth of such a point is 0: weight 1 to its copies, 0 to all others."""
    features = torch.zeros(12, 2, dtype=torch.float64)
    features[6:] += torch.arange(1.0, 7.0)[:, None]
    features[1] = 5.0
    features.requires_grad_()
    values = GraphLearningLayer(3)(features, ONE_HOT)
    (gradient,) = torch.autograd.grad(values[:, 0].sum(), features)
    assert values.isfinite().all()
    assert gradient.isfinite().all()
    torch.testing.assert_close(values[:4], ONE_HOT[[0, 0, 0, 0]])


@pytest.mark.parametrize(("tau", "expected"), [(0.0, 0.5), (0.01, 0.0)])
def test_component_without_label_takes_mean_or_zero_and_warns(tau: float, expected: float):
    features = two_far_groups().requires_grad_()
    layer = GraphLearningLayer(3, Laplace(tau))
    with pytest.warns(RuntimeWarning, match="disconnected"):
        values = layer(features, ONE_HOT)
    assert (values[4:] == expected).all()
    (gradient,) = torch.autograd.grad(values[4:, 0].sum(), features)
    assert (gradient == 0).all()


def test_label_mean_of_a_component_without_label_has_its_gradient():
    labels = ONE_HOT.clone().requires_grad_()
    with pytest.warns(RuntimeWarning, match="disconnected"):
        values = GraphLearningLayer(3)(two_far_groups(), labels)
    (gradient,) = torch.autograd.grad(values[4:, 0].sum(), labels)
    torch.testing.assert_close(gradient, torch.tensor([[2.0, 0], [2.0, 0]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("link", "status"), [(1e-19, Status.CONVERGED), (1e-22, Status.DISCONNECTED)]
)
def test_links_below_the_threshold_do_not_connect(link: float, status: Status):
    weights = torch.tensor([1.0, link], dtype=torch.float64)
    graph = SimilarityGraph(torch.tensor([[0, 1], [1, 2]]), weights, 3)
    labels = torch.ones(1, 1, dtype=torch.float64)
    solution = solve_graph_equation(graph, labels, torch.tensor([0]))
    assert solution.status is status


def test_cluster_joined_by_weights_below_rounding_counts_as_disconnected():
    features = two_far_groups()
    features[6:] -= 1e3 - 20
    graph = knn_graph(features, 6, FixedBandwidth(1.0))
    solution = solve_graph_equation(graph, ONE_HOT, torch.tensor([0, 1]))
    assert solution.status is Status.DISCONNECTED
    assert (solution.values[6:] == 0.5).all()


@pytest.mark.parametrize("k", [9, 10, 1000])
def test_k_beyond_the_nodes_joins_all(k: int):
    features = torch.randn(10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    graph = knn_graph(features, k)
    assert graph.edge_index.shape[1] == 45
    dense = dense_solution(dense_weights(features, 9, "self-tuning"), ONE_HOT, 0.0)
    torch.testing.assert_close(GraphLearningLayer(k)(features, ONE_HOT), dense)


@pytest.mark.parametrize("tau", [0.0, 0.1])
def test_one_class_is_certain(tau: float):
    features = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    values = GraphLearningLayer(4, Laplace(tau))(features, torch.ones(3, 1))
    torch.testing.assert_close(log_probabilities(values), torch.zeros(9, 1))


def test_all_nodes_labelled_leaves_nothing_to_predict():
    assert GraphLearningLayer(1)(torch.eye(2), torch.eye(2)).shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype):
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.eye(2)
    values = GraphLearningLayer(5)(features, labels)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, GraphLearningLayer(5)(features.float(), labels))
