"""Small graphs for bilevel learning, and eq. 1 of its paper with a dense Laplacian."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from make_cells import create, load_task
from oracle_graph import dense_matrix, dense_root
from torch import Tensor
from torch.nn import functional

from lapbench.datasets.base.nodes import node_task, undirected
from lapbench.datasets.base.task import Task
from lapbench.methods.bilevel import Bilevel
from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem
from lapbench.methods.graph.sparse import EdgePattern

NODES, CLASSES = 10, 3
LABELED, LABELS = torch.tensor([0, 3, 5, 8]), torch.tensor([0, 1, 2, 0])
OUTER, OUTER_LABELS = torch.tensor([2, 6, 9]), torch.tensor([1, 2, 0])


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def path(length: int) -> Tensor:
    return torch.stack((torch.arange(length - 1), torch.arange(1, length)))


def random_edges(nodes: int = NODES, extra: int = 8, seed: int = 0) -> Tensor:
    """A path through all nodes, so that the graph is connected, and random chords."""
    chords = torch.randint(nodes, (2, extra), generator=generator(seed))
    return undirected(torch.cat((path(nodes), chords), dim=1), nodes)


EDGES = random_edges()
WEIGHTS = 0.2 + torch.rand(EDGES.shape[1], dtype=torch.float64, generator=generator(1))
START = torch.randn(NODES, CLASSES, dtype=torch.float64, generator=generator(2))


def problem(edges: Tensor = EDGES, nodes: int = NODES, **changes: Any) -> LaplacianProblem:
    """Eq. 1 on the random graph, four of whose nodes are labelled."""
    given = LaplacianProblem(EdgePattern(edges, nodes), LABELED, LABELS, CLASSES)
    return replace(given, **changes)


def dense_laplacian(edges: Tensor, weights: Tensor, nodes: int) -> Tensor:
    adjacency = dense_matrix(edges, weights, nodes)
    return torch.diag(adjacency.sum(dim=1)) - adjacency


def dense_energy(given: LaplacianProblem, values: Tensor, weights: Tensor) -> Tensor:
    """F(Y) as eq. 1 prints it, with the ridge."""
    laplacian = dense_laplacian(given.pattern.edge_index, weights, len(values))
    log_probabilities = values[given.labeled].log_softmax(dim=1)
    fit = -log_probabilities[torch.arange(len(given.labels)), given.labels].mean()
    smooth = given.strength / given.pattern.edge_index.shape[1]
    smooth = smooth * torch.trace(values.T @ laplacian @ values)
    return fit + smooth + given.ridge / 2 * (values**2).sum()


def dense_gradient(given: LaplacianProblem, weights: Tensor) -> Callable[[Tensor], Tensor]:
    """∇F (n, c) as a function of Y, with a matrix that selects V_tr.

    Without a ridge F does not change when a number is added to all scores; that of the sum 0 is
    then singled out.
    """
    nodes, edges = given.pattern.num_nodes, given.pattern.edge_index
    laplacian = dense_laplacian(edges, weights, nodes)
    chosen = torch.eye(nodes, dtype=weights.dtype)[given.labeled]
    targets = torch.eye(given.num_classes, dtype=weights.dtype)[given.labels]
    count, edge_count = len(given.labels), edges.shape[1]

    def gradient(values: Tensor) -> Tensor:
        probabilities = torch.softmax(chosen @ values, dim=1)
        fit = chosen.T @ (probabilities - targets) / count
        quadratic = 2 * given.strength / edge_count * laplacian @ values + given.ridge * values
        gauge = 0 if given.ridge else values.sum(dim=1, keepdim=True)
        return fit + quadratic + gauge

    return gradient


def dense_minimum(given: LaplacianProblem, weights: Tensor) -> Tensor:
    start = weights.new_zeros(given.pattern.num_nodes, given.num_classes)
    return dense_root(dense_gradient(given, weights), start)


def outer_loss(values: Tensor) -> Tensor:
    """Cross entropy on V_out of the random graph."""
    return functional.cross_entropy(values[OUTER], OUTER_LABELS)


def karate(seed: int = 0) -> Task:
    return load_task("karate", seed)


def path_task(length: int = 36, features: int = 5) -> Task:
    """A path with two chords at its start; all labels are within the first nodes."""
    edges = undirected(torch.cat((path(length), torch.tensor([[0, 1], [3, 4]])), dim=1), length)
    x = torch.randn(length, features, generator=generator(3))
    y = torch.arange(length) % 2
    rows = {
        "inner": torch.tensor([0, 1, 4]),
        "outer": torch.tensor([3, 6]),
        "validation": torch.tensor([5, 8]),
        "test": torch.arange(10, length),
    }
    return node_task("path", x, y, edges, rows)


def build(task: Task, backbone: str = "gnn", seed: int = 0, **options: Any) -> Any:
    """A bilevel model on a task, the same at every call."""
    sizes: dict[str, dict[str, Any]] = {"gnn": {"width": 6}, "mlp": {"width": 6}}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create("backbones", backbone, **sizes.get(backbone, {})).build(task)
        return Bilevel(**options).build(network, task)
