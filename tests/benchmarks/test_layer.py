"""Speed of the graph learning layer, beside what it replaces."""

from collections.abc import Callable

import pytest
import torch
from oracles import dense_solution
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from lapbench.methods.gll import GraphLearningLayer

NODES, LABELED, SIZE, CLASSES, K = 1100, 100, 128, 10, 25


def vectorized_dense(features: Tensor, labels: Tensor) -> Tensor:
    """The layer as written without sparsity or an adjoint: dense weights, dense autograd solve."""
    squared = torch.cdist(features, features) ** 2
    nearest = squared.detach().topk(K + 1, largest=False).indices[:, 1:]
    bandwidth = squared.gather(1, nearest[:, -1:]).sqrt()
    weights = torch.exp(-4 * squared / (bandwidth * bandwidth.T))
    mask = torch.zeros_like(weights).scatter_(1, nearest, 1)
    return dense_solution(weights * torch.maximum(mask, mask.T), labels, 0.0)


IMPLEMENTATIONS = {"layer": GraphLearningLayer(K), "dense autograd": vectorized_dense}


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_forward_and_backward(benchmark: BenchmarkFixture, name: str):
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(CLASSES, SIZE, generator=generator)
    noise = torch.randn(NODES, SIZE, generator=generator)
    features = (classes[torch.arange(NODES) % CLASSES] + noise).requires_grad_()
    labels = torch.eye(CLASSES)[torch.arange(LABELED) % CLASSES]
    implementation: Callable[[Tensor, Tensor], Tensor] = IMPLEMENTATIONS[name]

    def step() -> Tensor:
        loss = implementation(features, labels).square().sum()
        return torch.autograd.grad(loss, features)[0]

    benchmark.extra_info.update(nodes=NODES, labeled=LABELED, k=K)
    assert benchmark(step).isfinite().all()
