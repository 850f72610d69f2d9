"""Whatever the graph, the labels and the features: a status, and never NaN nor infinity."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_graphs import EQUATIONS, KERNELS, dense_graph
from oracle_exact import EXACT
from oracle_graph import Problem
from torch import Tensor

from lapbench.methods.graph import (
    SimilarityGraph,
    Solution,
    Status,
    knn_graph,
    solve_graph_equation,
)

settings.register_profile(
    "deterministic", derandomize=True, deadline=None, database=None, max_examples=25
)
settings.load_profile("deterministic")

# Of the largest value of a class. Poisson's right-hand side is a difference from a mean, whose
# rounding a weak link between groups magnifies.
TOLERANCE, POISSON_TOLERANCE = 1e-8, 1e-4

WEIGHTS = st.one_of(
    st.floats(-6, 6).map(lambda exponent: 10**exponent), st.sampled_from([0.0, 1.0, 1e-30])
)
SCALES = st.integers(-6, 6).map(lambda exponent: 10.0**exponent)
UNIT = st.floats(-1, 1, width=32)


@st.composite
def matrices(draw: st.DrawFn, rows: int, columns: int) -> Tensor:
    """Values of one size, from 1e-6 to 1e6, with zeros and copies among them."""
    entries = draw(st.lists(UNIT, min_size=rows * columns, max_size=rows * columns))
    return draw(SCALES) * torch.tensor(entries, dtype=torch.float64).view(rows, columns)


@st.composite
def graphs(draw: st.DrawFn, directed: bool) -> SimilarityGraph:
    """Few nodes, some alone, in some components, joined by weights of any size."""
    nodes = draw(st.integers(2, 7))
    pairs = [(i, j) for j in range(nodes) for i in range(j)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True))
    many = st.lists(WEIGHTS, min_size=len(edges), max_size=len(edges))
    weights = [torch.tensor(draw(many), dtype=torch.float64) for _ in range(1 + directed)]
    index = torch.tensor(edges, dtype=torch.int64).view(-1, 2).T
    return SimilarityGraph(index, weights[0], nodes, *weights[1:])


@st.composite
def problems(draw: st.DrawFn, directed: bool) -> tuple[SimilarityGraph, Tensor, Tensor, Tensor]:
    """A graph with labels, labelled nodes, and a source that may be 0."""
    graph = draw(graphs(directed))
    order = draw(st.permutations(range(graph.num_nodes)))
    labeled = torch.tensor(order[: draw(st.integers(1, graph.num_nodes))])
    source = torch.zeros(graph.num_nodes, 2, dtype=torch.float64)
    if draw(st.booleans()):
        source = draw(matrices(graph.num_nodes, 2))
    return graph, draw(matrices(len(labeled), 2)), labeled, source


def assert_finite(solution: Solution, *inputs: Tensor) -> None:
    """Values and gradients; an adjoint solve may warn that it is not exact."""
    assert isinstance(solution.status, Status)
    assert solution.values.isfinite().all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result = torch.autograd.grad(solution.values.sum(), inputs, allow_unused=True)
    for gradient in result:
        assert gradient is None or gradient.isfinite().all()


@pytest.mark.parametrize("name", EQUATIONS)
@given(data=st.data())
def test_any_graph_gives_a_status_and_finite_values_and_gradients(name: str, data: st.DataObject):
    row = EQUATIONS[name]
    graph, labels, labeled, source = data.draw(problems(row.directed))
    inputs = [part.requires_grad_() for part in (graph.weights, labels, source)]
    solution = solve_graph_equation(graph, labels, labeled, row.equation, source)
    assert_finite(solution, *inputs)


@pytest.mark.parametrize("name", EQUATIONS)
@settings(max_examples=12)
@given(data=st.data())
def test_any_features_give_a_status_and_finite_values_and_gradients(name: str, data: st.DataObject):
    row, nodes = EQUATIONS[name], data.draw(st.integers(5, 9))
    features = data.draw(matrices(nodes, 2))
    copies = data.draw(st.integers(1, nodes))
    features[:copies] = features[0].clone()
    # Of p = 10 the gradient in the weight of a far edge, 1e51 for example, is beyond float32.
    dtypes = [torch.float64, torch.float32] if row.differences else [torch.float64]
    dtype = data.draw(st.sampled_from(dtypes))
    features = features.to(dtype).requires_grad_()
    kernel = KERNELS[data.draw(st.sampled_from(sorted(KERNELS)))]
    symmetrize = None if row.directed else data.draw(st.sampled_from(["max", "mean", "sum"]))
    graph = knn_graph(features, 3, kernel, symmetrize=symmetrize)
    labels = data.draw(matrices(3, 2)).to(dtype).requires_grad_()
    solution = solve_graph_equation(graph, labels, torch.tensor([0, 2, 4]), row.equation)
    assert_finite(solution, features, labels)


@pytest.mark.parametrize("name", EXACT)
@given(data=st.data())
def test_converged_linear_equation_has_the_exact_solution(name: str, data: st.DataObject):
    row = EQUATIONS[name]
    graph, labels, labeled, source = data.draw(problems(row.directed))
    solution = solve_graph_equation(graph, labels, labeled, row.equation, source)
    if solution.status is not Status.CONVERGED:
        return
    problem = Problem(dense_graph(graph), labels, labeled, source)
    expected = EXACT[name](problem)
    error = (solution.values - expected).abs().amax(dim=0)
    tolerance = POISSON_TOLERANCE if name.startswith("poisson") else TOLERANCE
    assert (error <= tolerance * expected.abs().amax(dim=0)).all()
