"""One step of the graph learning layer, forward and backward: with lapbench, and without it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from benchmarks import with_scipy
from numpy.typing import NDArray
from scipy.sparse.linalg import spsolve

from lapbench.methods.graph import Status, knn_graph, solve_graph_equation

CLASSES, LATENT, SIZE, K = 10, 16, 128, 25
TIES = 1e-3  # share of nodes; in float32 two candidates for the last neighbour can be equally far


@dataclass(frozen=True)
class Problem:
    """Features (n, 128), one-hot labels (m, 10) of the first m nodes, and dJ/du (n, 10)."""

    features: NDArray[Any]
    labels: NDArray[Any]
    upstream: NDArray[Any]


class Step(NamedTuple):
    """What a step finds: u (n, 10), dJ/dfeatures (n, 128), the edges (2, E), how the solve went."""

    values: NDArray[Any]
    gradient: NDArray[Any]
    edges: NDArray[Any]
    iterations: int | None = None
    residual: float | None = None


def class_problem(nodes: int, dtype: type[np.floating] = np.float32, seed: int = 0) -> Problem:
    """Class centres and within-class noise in a latent space, mapped linearly to the features.

    Node i has class i mod 10. How many edges join two classes decides how far labels spread, and
    with it the time of every iterative solver: the tables name that share.
    """
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((CLASSES, LATENT))
    embedding = generator.standard_normal((LATENT, SIZE))
    latent = centres[np.arange(nodes) % CLASSES] + generator.standard_normal((nodes, LATENT))
    features = latent @ embedding + 0.1 * generator.standard_normal((nodes, SIZE))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labeled = 100 if nodes <= 1100 else nodes // 10
    labels = np.eye(CLASSES)[np.arange(labeled) % CLASSES]
    upstream = generator.standard_normal((nodes, CLASSES))
    return Problem(features.astype(dtype), labels.astype(dtype), upstream.astype(dtype))


def lapbench_step(problem: Problem) -> Step:
    """The step as a user of lapbench writes it."""
    features = torch.from_numpy(problem.features).requires_grad_()
    graph = knn_graph(features, K)
    labels = torch.from_numpy(problem.labels)
    solution = solve_graph_equation(graph, labels, torch.arange(len(labels)))
    assert solution.status is Status.CONVERGED, solution.status
    loss = (solution.values * torch.from_numpy(problem.upstream)).sum()
    (gradient,) = torch.autograd.grad(loss, features)
    edges, values = graph.edge_index.numpy(), solution.values.detach().numpy()
    return Step(values, gradient.numpy(), edges, solution.iterations, solution.residual)


def scipy_step(problem: Problem, solve: with_scipy.Solver = spsolve) -> Step:
    """The step as a careful user writes it with scikit-learn and SciPy."""
    features, labels = problem.features, problem.labels
    graph = with_scipy.build_graph(*with_scipy.search(features, K))
    system = with_scipy.unlabeled_system(graph.weights, len(labels))
    values = with_scipy.solve_laplace(graph.weights, system, labels, solve)
    gradient = with_scipy.backward(graph, system, features, values, problem.upstream, solve)
    return Step(values, gradient, graph.edges)


def in_double(problem: Problem) -> Problem:
    """The same numbers in float64, in which no two distances are equal."""
    return Problem(*(array.astype(np.float64) for array in vars(problem).values()))


def assert_same_rows(
    what: str, result: NDArray[Any], expected: NDArray[Any], tolerance: float = 1e-4
) -> None:
    """Rows agree; their errors are relative to their root mean square.

    Otherwise a ratio of times would compare unequal work.
    """
    errors = np.linalg.norm(result - expected, axis=1)
    wrong = ~(errors <= tolerance * np.sqrt((expected**2).sum(axis=1).mean()))
    assert not wrong.any(), f"{what} differ in {wrong.sum()} rows, by {errors.max():.1e}"


def share_between_classes(edges: NDArray[Any]) -> float:
    """Share of the edges that join two classes."""
    return float(np.mean(edges[0] % CLASSES != edges[1] % CLASSES))
