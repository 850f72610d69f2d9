"""The gradient of the graph learning layer is exact."""

import pytest
import torch
from make_graphs import random
from oracle_graph import dense_solution, dense_weights, finite_differences, relative_error, slopes
from torch import Tensor

from lapbench.methods.gll import GraphLearningLayer
from lapbench.methods.graph import Laplace

K, CLASSES = 6, 3


def random_problem(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of 30 nodes, real labels of the first 9, and a linear loss."""
    shapes = [(30, 4), (9, CLASSES), (21, CLASSES)]
    features, labels, loss = (random(*s, seed=3 * seed + i) for i, s in enumerate(shapes))
    return features, labels, loss


@pytest.mark.parametrize("tau", [0.0, 0.01])
@pytest.mark.parametrize("bandwidth", ["self-tuning", 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_is_that_of_differences_and_of_a_dense_solve(
    bandwidth: float | str, tau: float, seed: int
):
    """Finite differences in five random directions; all entries by autograd of dense matrices."""
    features, labels, loss = random_problem(seed)
    layer = GraphLearningLayer(K, Laplace(tau), bandwidth)
    inputs = features.clone().requires_grad_(), labels.clone().requires_grad_()
    values = layer(*inputs)
    gradients = torch.autograd.grad((values * loss).sum(), inputs)

    dense = dense_solution(dense_weights(inputs[0], K, bandwidth), inputs[1], tau)
    assert relative_error(values, dense) < 1e-10
    expected = torch.autograd.grad((dense * loss).sum(), inputs)
    differences = (
        lambda moved: (layer(moved, labels) * loss).sum(),
        lambda moved: (layer(features, moved) * loss).sum(),
    )
    for at, gradient, by_dense, value in zip(
        (features, labels), gradients, expected, differences, strict=True
    ):
        assert relative_error(gradient, by_dense) < 1e-10
        directions = random(at.numel(), 5, seed=seed)
        by_differences = slopes(value, at, directions)
        assert relative_error(directions.T @ gradient.flatten(), by_differences) < 1e-7


def test_gradient_of_duplicates_matches_finite_differences():
    """A duplicate has distance 0 to its twin; the others' gradients stay exact."""
    features, labels, loss = random_problem(0)
    features[20] = features[3]

    def value(moved: Tensor) -> Tensor:
        # The twins move together: apart, they would change their order as neighbours.
        together = moved.clone()
        together[20] = moved[3]
        return (GraphLearningLayer(K)(together, labels) * loss).sum()

    at = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(at), at)
    directions = random(at.numel(), 5)
    expected = slopes(value, features, directions)
    assert relative_error(directions.T @ gradient.flatten(), expected) < 1e-7


@pytest.mark.parametrize("distance", [1.5, 2.0, 2.2])
def test_gradient_is_exact_where_a_cluster_hangs_by_a_thread(distance: float):
    """Weights of about 1e-8 to 1e-17 join the clusters; usual factorisations lose the last."""
    features = 0.1 * random(12, 2)
    features[6:] += distance
    labels = torch.eye(2, dtype=torch.float64)

    def log_odds(features: Tensor) -> Tensor:
        values = GraphLearningLayer(11, bandwidth=1.0)(features, labels)
        return (values[4:, 0] / values[4:, 1]).log().sum()

    at = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_odds(at), at)
    assert relative_error(gradient, finite_differences(log_odds, features)) < 1e-6
