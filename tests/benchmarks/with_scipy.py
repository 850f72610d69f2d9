"""The parts of a step as a careful user writes them with scikit-learn and SciPy.

In float64 from the distances on, as scikit-learn returns them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import cg
from sklearn.neighbors import NearestNeighbors

Solver = Callable[[csc_array, NDArray[Any]], NDArray[Any]]


class ScipyGraph(NamedTuple):
    """Each edge in both directions: its ends (2, 2E), d_ij², and w_ij; ε_i and who is that far."""

    edges: NDArray[Any]
    squared: NDArray[Any]
    weights: csr_array
    epsilon: NDArray[Any]
    farthest: NDArray[Any]


def search(features: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distances (n, k) and neighbours (n, k) of every node, nearest first."""
    result = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features).kneighbors()
    distances, neighbors = (np.asarray(part) for part in result)
    return distances, neighbors


def build_graph(distances: NDArray[Any], neighbors: NDArray[Any]) -> ScipyGraph:
    """The self-tuning weights of eq. 1 of the GLL paper."""
    nodes, k = neighbors.shape
    epsilon, farthest = distances[:, -1], neighbors[:, -1]
    rows = np.repeat(np.arange(nodes), k)
    directed = csr_array((distances.ravel(), (rows, neighbors.ravel())), shape=(nodes, nodes))
    graph = directed.maximum(directed.T).tocoo()
    (i, j), squared = graph.coords, graph.data**2
    weights = np.exp(-4 * squared / (epsilon[i] * epsilon[j]))
    matrix = csr_array((weights, (i, j)), shape=(nodes, nodes))
    return ScipyGraph(np.stack((i, j)), squared, matrix, epsilon, farthest)


def nonlocal_weights(
    distances: NDArray[Any], neighbors: NDArray[Any], labeled: int, rank: int
) -> csr_array:
    """c_xy = w(x, y) + (1 + μ [y ∈ L]) w(y, x) of eq. 5 of the WNLL paper, μ = |X|/|L| − 1."""
    nodes, k = neighbors.shape
    weights = np.exp(-((distances / distances[:, [rank - 1]]) ** 2))
    rows = np.repeat(np.arange(nodes), k)
    directed = csr_array((weights.ravel(), (rows, neighbors.ravel())), shape=(nodes, nodes))
    pull = np.where(np.arange(nodes) < labeled, nodes / labeled, 1)
    return (directed + directed.T @ diags_array(pull)).tocsr()


def unlabeled_system(weights: csr_array, labeled: int) -> csc_array:
    """The Laplacian of the nodes after the labelled ones."""
    laplacian = (diags_array(weights.sum(axis=1)) - weights).tocsr()
    return laplacian[labeled:, labeled:].tocsc()


def solve_laplace(
    weights: csr_array, system: csc_array, labels: NDArray[Any], solve: Solver
) -> NDArray[Any]:
    """u (n, c), all classes at once."""
    labeled = len(labels)
    return np.concatenate([labels, solve(system, weights[labeled:, :labeled] @ labels)])


def feature_gradient(
    graph: ScipyGraph, features: NDArray[Any], values: NDArray[Any], adjoint: NDArray[Any]
) -> NDArray[Any]:
    """dJ/dfeatures by eq. 26 and 42 of the GLL paper, from u and its adjoint (n, c).

    Products with differences of features become products of one sparse matrix with the features.
    """
    nodes, (i, j), epsilon = len(features), graph.edges, graph.epsilon
    product = epsilon[i] * epsilon[j]
    to_weights = -np.einsum("ec,ec->e", values[i] - values[j], adjoint[i] - adjoint[j])
    to_squared = -4 * to_weights * np.exp(-4 * graph.squared / product) / product
    edges = csr_array((2 * to_squared, (i, j)), shape=(nodes, nodes))
    to_epsilon = -np.bincount(i, to_squared * graph.squared, nodes) / epsilon**2
    places = (np.arange(nodes), graph.farthest)
    bandwidths = csr_array((to_epsilon, places), shape=(nodes, nodes))
    pull = edges + bandwidths + bandwidths.T
    return pull.sum(axis=1)[:, None] * features - pull @ features


def backward(
    graph: ScipyGraph,
    system: csc_array,
    features: NDArray[Any],
    values: NDArray[Any],
    upstream: NDArray[Any],
    solve: Solver,
) -> NDArray[Any]:
    """dJ/dfeatures (n, d) from dJ/du (n, c), by the adjoint equation."""
    labeled = len(features) - system.shape[0]
    adjoint = np.zeros(values.shape)
    adjoint[labeled:] = solve(system, upstream[labeled:])
    return feature_gradient(graph, features, values, adjoint)


def conjugate_gradients(system: csc_array, right: NDArray[Any]) -> NDArray[Any]:
    """Class by class; quicker than spsolve on these graphs, where a factor fills up."""
    preconditioner = diags_array(1 / system.diagonal())
    columns = [cg(system, column, rtol=1e-9, M=preconditioner)[0] for column in right.T]
    return np.stack(columns, axis=1)
