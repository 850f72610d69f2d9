"""One step of the graph learning layer, forward and backward: with lapbench, and without it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import cg, spsolve
from sklearn.neighbors import NearestNeighbors

from lapbench.methods.graph import Status, knn_graph, solve_graph_equation

CLASSES, LATENT, SIZE, K = 10, 16, 128, 25
Solver = Callable[[csc_array, NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Problem:
    """Features (n, 128), one-hot labels (m, 10) of the first m nodes, and dJ/du (n, 10)."""

    features: NDArray[Any]
    labels: NDArray[Any]
    upstream: NDArray[Any]


class Step(NamedTuple):
    """What a step finds: u (n, 10), dJ/dfeatures (n, 128), and the graph's edges (2, E)."""

    values: NDArray[Any]
    gradient: NDArray[Any]
    edges: NDArray[Any]


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
    return Step(solution.values.detach().numpy(), gradient.numpy(), graph.edge_index.numpy())


def scipy_step(problem: Problem, solve: Solver = spsolve) -> Step:
    """The step as a careful user writes it with scikit-learn and SciPy.

    All classes are solved for at once; the gradient is eq. 26 and 42 of the GLL paper, whose
    products with differences of features become products of one sparse matrix with the features.
    In float64 between the features and the gradient, as scikit-learn returns the distances.
    """
    features, labels = problem.features, problem.labels
    nodes, labeled = len(features), len(labels)
    found = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(features).kneighbors()
    distances, neighbors = (np.asarray(part) for part in found)
    epsilon, farthest = distances[:, -1], neighbors[:, -1]
    rows = np.repeat(np.arange(nodes), K)
    directed = csr_array((distances.ravel(), (rows, neighbors.ravel())), shape=(nodes, nodes))
    graph = directed.maximum(directed.T).tocoo()
    (i, j), squared = graph.coords, graph.data**2
    product = epsilon[i] * epsilon[j]
    weights = csr_array((np.exp(-4 * squared / product), (i, j)), shape=(nodes, nodes))
    laplacian = (diags_array(weights.sum(axis=1)) - weights).tocsr()
    system = laplacian[labeled:, labeled:].tocsc()

    values, adjoint = np.zeros((2, nodes, CLASSES))
    values[:labeled] = labels
    values[labeled:] = solve(system, weights[labeled:, :labeled] @ labels)
    adjoint[labeled:] = solve(system, problem.upstream[labeled:])

    to_weights = -np.einsum("ec,ec->e", values[i] - values[j], adjoint[i] - adjoint[j])
    to_squared = -4 * to_weights * np.exp(-4 * squared / product) / product
    edges = csr_array((2 * to_squared, (i, j)), shape=(nodes, nodes))
    to_epsilon = -np.bincount(i, to_squared * squared, nodes) / epsilon**2
    bandwidths = csr_array((to_epsilon, (np.arange(nodes), farthest)), shape=(nodes, nodes))
    pull = edges + bandwidths + bandwidths.T
    gradient = pull.sum(axis=1)[:, None] * features - pull @ features
    return Step(values, gradient, np.stack((i, j)))


def conjugate_gradients(system: csc_array, right: NDArray[Any]) -> NDArray[Any]:
    """For graphs that spsolve takes minutes for; slower than a careful user would accept."""
    preconditioner = diags_array(1 / system.diagonal())
    columns = [cg(system, column, rtol=1e-9, M=preconditioner)[0] for column in right.T]
    return np.stack(columns, axis=1)


def share_between_classes(edges: NDArray[Any]) -> float:
    """Share of the edges that join two classes."""
    return float(np.mean(edges[0] % CLASSES != edges[1] % CLASSES))
