"""What is compiled for processors agrees with what a GPU does in torch."""

import numpy as np
import pytest
import scipy.sparse.csgraph
import torch
from make_graphs import random
from torch import Tensor

from lapbench.methods.graph import (
    SelfTuning,
    compiled,
    conjugate_gradients,
    knn_graph,
    selection,
    sparse,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("nodes", [40, 600, 4800])
def test_nearest_candidates(dtype: torch.dtype, nodes: int):
    features = random(nodes, 6).to(dtype)
    features[7] = features[3]
    rows = torch.arange(3, 33)
    approximate = torch.full((30, -(-nodes // 16) * 16), torch.inf, dtype=dtype)
    approximate[:, :nodes] = torch.cdist(features[rows], features) ** 2
    approximate[torch.arange(30), rows] = torch.inf
    on_processor = selection.nearest_candidates(approximate, features, rows, 10, 3)
    groups = 16 if nodes >= 4096 else 4
    minima = approximate.unflatten(1, (groups, -1)).amin(dim=1)
    if minima.shape[1] < 26:
        minima = approximate
    with_torch = selection._with_torch(approximate, minima, features, rows, 10, 3)
    torch.testing.assert_close(on_processor[:2], with_torch[:2])
    assert on_processor[0][0, 0] == 7
    assert on_processor[1][0, 0] == 0
    # Each names a bound that no column outside its candidates is below.
    for bound in (on_processor[2], with_torch[2]):
        assert ((approximate <= bound[:, None]).sum(dim=1) >= 13).all()


def compiled_iteration(*tensors: Tensor) -> bool:
    return conjugate_gradients._advancer(*tensors[:4])(tensors[4])


def test_iteration():
    states = []
    for way in (conjugate_gradients._advance_with_torch, compiled_iteration):
        values, residual, direction, product = (random(50, 4) + place for place in range(4))
        states.append([values, residual, direction, residual.square().sum(dim=0)])
        assert way(*states[-1], product)
    for actual, expected in zip(*states, strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("way", [conjugate_gradients._advance_with_torch, compiled_iteration])
def test_iteration_stops_at_a_negative_curvature(way):
    values, residual, direction = (random(20, 2, seed=seed) for seed in range(3))
    before = values.clone()
    product = direction * torch.tensor([1.0, -1.0])
    assert not way(values, residual, direction, residual.square().sum(dim=0), product)
    assert torch.equal(values, before)


@pytest.mark.parametrize("nodes", [1, 30, 400])
def test_components_are_those_of_scipy(nodes: int):
    """Chains of consecutive nodes in a random order, cut at some links."""
    order = torch.randperm(nodes, generator=torch.Generator().manual_seed(nodes))
    edges = torch.stack([order[:-1], order[1:]]).sort(dim=0).values
    connects = torch.arange(nodes - 1) % 150 != 7
    pattern = sparse.EdgePattern(edges, nodes)
    result = pattern.components(connects)
    assert torch.equal(result, pattern._components_by_spreading(connects))
    joined = edges[:, connects].numpy()
    matrix = scipy.sparse.coo_array((np.ones(joined.shape[1]), joined), shape=(nodes, nodes))
    _, expected = scipy.sparse.csgraph.connected_components(matrix, directed=False)
    lowest = [int(np.flatnonzero(expected == name)[0]) for name in expected]
    assert result.tolist() == lowest


def test_laplacian_of_features_and_gradient_products():
    graph = knn_graph(random(60, 4), 5, SelfTuning())
    features, other = random(60, 7), random(60, 7, seed=1)
    result = graph.pattern.laplacian_of_features(graph.weights, features)
    torch.testing.assert_close(
        result, sparse._laplacian_product(graph.weights, features, graph.pattern)
    )
    i, j = graph.edge_index
    torch.testing.assert_close(
        sparse.gradient_products(features, other, graph.pattern),
        ((features[i] - features[j]) * (other[i] - other[j])).sum(dim=1),
    )


def test_strided_features_give_what_contiguous_ones_do():
    wide = random(40, 12)
    view = wide[:, ::2].detach().requires_grad_()
    copy = wide[:, ::2].detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    for features in (view, copy):
        knn_graph(features, 4).weights.sum().backward()
    torch.testing.assert_close(view.grad, copy.grad)


def test_function_is_compiled_without_a_cache_where_none_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(cache: bool = False, **_: object):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", refuse)
    assert compiled.compiled("contract")(abs)(-3) == 3
