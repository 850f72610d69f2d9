"""Each stage of a step by itself: with lapbench, and the quickest way that SciPy has."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from benchmarks import with_scipy
from benchmarks.steps import TIES, K, Problem, assert_same_rows, class_problem
from benchmarks.with_scipy import ScipyGraph, conjugate_gradients
from numpy.typing import NDArray
from scipy.sparse import triu
from scipy.sparse.linalg import splu
from torch import Tensor

from lapbench.methods.graph import (
    WNLL,
    NeighborBandwidth,
    Neighbors,
    SimilarityGraph,
    Solution,
    nearest_neighbors,
    similarity_graph,
    solve_graph_equation,
)

FACTORED_UP_TO = 5000
RANK = 15


class Start(NamedTuple):
    """What the stages start from: the neighbours are scikit-learn's for both."""

    problem: Problem
    distances: NDArray[Any]
    neighbors: NDArray[Any]
    graph: ScipyGraph

    @property
    def ours(self) -> Neighbors:
        """The neighbours as lapbench has them."""
        distances = self.distances.astype(self.problem.features.dtype)
        return Neighbors(torch.from_numpy(self.neighbors), torch.from_numpy(distances))


@dataclass(frozen=True)
class Stage:
    """Ours, a reference with its name, and what asserts that their answers agree."""

    ours: Callable[[], Any]
    reference: Callable[[], Any]
    beside: str
    agree: Callable[[Any, Any, float], None]


@cache
def start(nodes: int, dtype: type[np.floating] = np.float32) -> Start:
    """Everything before the solve, of the problem with so many nodes."""
    problem = class_problem(nodes, dtype)
    distances, neighbors = with_scipy.search(problem.features, K)
    return Start(problem, distances, neighbors, with_scipy.build_graph(distances, neighbors))


def neighbor_search(begin: Start) -> Stage:
    """From features to neighbours."""
    features = torch.from_numpy(begin.problem.features)

    def agree(result: Neighbors, expected: Any, tolerance: float) -> None:
        distances, neighbors = expected
        assert_same_rows("distances", result.distances.numpy(), distances, tolerance)
        differ = np.sort(result.indices.numpy(), axis=1) != np.sort(neighbors, axis=1)
        assert differ.any(axis=1).mean() <= TIES

    ours = partial(nearest_neighbors, features, K)
    reference = partial(with_scipy.search, begin.problem.features, K)
    return Stage(ours, reference, "scikit-learn, brute", agree)


def graph_building(begin: Start) -> Stage:
    """From neighbours to weights, differentiable in lapbench alone."""
    features = torch.from_numpy(begin.problem.features).requires_grad_()

    def agree(result: SimilarityGraph, expected: ScipyGraph, tolerance: float) -> None:
        upper = triu(expected.weights, format="csr").sorted_indices().tocoo()
        assert np.array_equal(result.edge_index.numpy(), np.stack(upper.coords))
        weights = result.weights.detach().numpy()
        assert_same_rows("weights", weights[:, None], upper.data[:, None], tolerance)

    ours = partial(similarity_graph, features, begin.ours)
    reference = partial(with_scipy.build_graph, begin.distances, begin.neighbors)
    return Stage(ours, reference, "SciPy", agree)


def laplace_solve(begin: Start) -> Stage:
    """From weights to u of Laplace learning."""
    features = torch.from_numpy(begin.problem.features).requires_grad_()
    graph = similarity_graph(features, begin.ours)
    labels, labeled = given(begin.problem)
    ours = partial(solve_graph_equation, graph, labels, labeled)
    return beside_a_solver(begin, ours, begin.graph.weights)


def nonlocal_solve(begin: Start) -> Stage:
    """From directed weights to u of the weighted nonlocal Laplacian."""
    features = torch.from_numpy(begin.problem.features).requires_grad_()
    graph = similarity_graph(features, begin.ours, NeighborBandwidth(RANK), symmetrize=None)
    labels, labeled = given(begin.problem)
    ours = partial(solve_graph_equation, graph, labels, labeled, WNLL())
    weights = with_scipy.nonlocal_weights(begin.distances, begin.neighbors, len(labels), RANK)
    return beside_a_solver(begin, ours, weights)


def backward(begin: Start) -> Stage:
    """From dJ/du to dJ/dfeatures: the adjoint solve and the gradients of the weights.

    The reference has a factor from before where one takes no minutes, and iterates otherwise.
    """
    problem, weights = begin.problem, begin.graph.weights
    features = torch.from_numpy(problem.features).requires_grad_()
    graph = similarity_graph(features, begin.ours)
    solution = solve_graph_equation(graph, *given(problem))
    loss = (solution.values * torch.from_numpy(problem.upstream)).sum()
    system = with_scipy.unlabeled_system(weights, len(problem.labels))
    factored = len(problem.features) <= FACTORED_UP_TO
    factor = splu(system) if factored else None
    solve = conjugate_gradients if factor is None else lambda _, right: factor.solve(right)
    values = with_scipy.solve_laplace(weights, system, problem.labels, solve)
    return Stage(
        lambda: torch.autograd.grad(loss, features, retain_graph=True)[0],
        lambda: with_scipy.backward(
            begin.graph, system, problem.features, values, problem.upstream, solve
        ),
        "SciPy, its factor known" if factored else "SciPy cg",
        lambda result, expected, tolerance: assert_same_rows(
            "gradients", result.numpy(), expected, tolerance
        ),
    )


def given(problem: Problem) -> tuple[Tensor, Tensor]:
    """Labels, and the nodes that have one."""
    return torch.from_numpy(problem.labels), torch.arange(len(problem.labels))


def beside_a_solver(begin: Start, ours: Callable[[], Solution], weights: Any) -> Stage:
    """A solve, beside conjugate gradients; spsolve is slower at each of these sizes."""
    labels = begin.problem.labels

    def reference() -> NDArray[Any]:
        system = with_scipy.unlabeled_system(weights, len(labels))
        return with_scipy.solve_laplace(weights, system, labels, conjugate_gradients)

    def agree(result: Solution, expected: NDArray[Any], tolerance: float) -> None:
        assert_same_rows("values", result.values.detach().numpy(), expected, tolerance)

    return Stage(ours, reference, "SciPy cg", agree)


STAGES: dict[str, Callable[[Start], Stage]] = {
    "neighbour search": neighbor_search,
    "graph building": graph_building,
    "solve": laplace_solve,
    "solve of WNLL": nonlocal_solve,
    "backward": backward,
}
