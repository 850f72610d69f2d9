"""The gradient of the graph learning layer is exact."""

import pytest
import torch
from oracles import dense_solution, dense_weights, finite_differences, relative_error
from torch import Tensor

from lapbench.methods.gll import GraphLearningLayer
from lapbench.methods.graph import Laplace

BANDWIDTHS = ["self-tuning", 1.5]
TAUS = [0.0, 0.01]
K = 6
CLASSES = 3


def random_problem(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of 30 nodes, real labels of the first 9, and a linear loss."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(30, 4, dtype=torch.float64, generator=generator)
    labels = torch.randn(9, CLASSES, dtype=torch.float64, generator=generator)
    loss = torch.randn(21, CLASSES, dtype=torch.float64, generator=generator)
    return features, labels, loss


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
@pytest.mark.parametrize("seed", range(3))
class TestGradient:
    def test_matches_finite_differences(self, bandwidth: float | str, tau: float, seed: int):
        features, labels, loss = random_problem(seed)
        layer = GraphLearningLayer(K, Laplace(tau), bandwidth)

        def value(features: Tensor, labels: Tensor) -> Tensor:
            return (layer(features, labels) * loss).sum()

        inputs = features.clone().requires_grad_(), labels.clone().requires_grad_()
        found = torch.autograd.grad(value(*inputs), inputs)
        expected = (
            finite_differences(lambda moved: value(moved, labels), features),
            finite_differences(lambda moved: value(features, moved), labels),
        )
        assert relative_error(found[0], expected[0]) < 1e-7
        assert relative_error(found[1], expected[1]) < 1e-7

    def test_matches_dense_autograd(self, bandwidth: float | str, tau: float, seed: int):
        features, labels, loss = random_problem(seed)
        inputs = features.clone().requires_grad_(), labels.clone().requires_grad_()
        values = GraphLearningLayer(K, Laplace(tau), bandwidth)(*inputs)
        dense = dense_solution(dense_weights(inputs[0], K, bandwidth), inputs[1], tau)
        assert relative_error(values.detach(), dense.detach()) < 1e-10
        found = torch.autograd.grad((values * loss).sum(), inputs)
        expected = torch.autograd.grad((dense * loss).sum(), inputs)
        assert relative_error(found[0], expected[0]) < 1e-10
        assert relative_error(found[1], expected[1]) < 1e-10


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
    (found,) = torch.autograd.grad(value(at), at)
    assert relative_error(found, finite_differences(value, features)) < 1e-7


@pytest.mark.parametrize("distance", [1.5, 2.0, 2.2])
def test_gradient_is_exact_where_a_cluster_hangs_by_a_thread(distance: float):
    """Weights of about 1e-8 to 1e-17 join the clusters; usual factorisations lose the last."""
    generator = torch.Generator().manual_seed(0)
    features = 0.1 * torch.randn(12, 2, dtype=torch.float64, generator=generator)
    features[6:] += distance
    labels = torch.eye(2, dtype=torch.float64)

    def log_odds(features: Tensor) -> Tensor:
        values = GraphLearningLayer(11, bandwidth=1.0)(features, labels)
        return (values[4:, 0] / values[4:, 1]).log().sum()

    at = features.clone().requires_grad_()
    (found,) = torch.autograd.grad(log_odds(at), at)
    expected = finite_differences(log_odds, features)
    assert relative_error(found, expected) < 1e-6
