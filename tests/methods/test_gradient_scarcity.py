"""Gradient scarcity: which edges are taught by labels, and how much."""

import itertools
from typing import Any

import pytest
import torch
from make_bilevel import build, generator, path, path_task
from make_cells import create
from torch import Tensor
from torch.nn import functional

from lapbench.datasets.base.nodes import node_task
from lapbench.datasets.base.task import Task
from lapbench.methods.bilevel import Bilevel
from lapbench.methods.bilevel.inner import solve_network
from lapbench.methods.bilevel.network_problem import GraphNetwork, NetworkProblem, neighborhood

NETWORK: dict[str, Any] = {
    "inner": "network",
    "graph": "edges",
    "hypergradient": "unrolled",
    "inner_steps": 5,
}
EDGES_OF_CLUB: dict[str, Any] = {"graph": "edges"}


def distances(task: Task, sources: list[int]) -> Tensor:
    """Edges between each node and the nearest source, by powers of a dense matrix."""
    assert task.edge_index is not None
    nodes = len(task.train)
    step = torch.eye(nodes)
    step[task.edge_index[0], task.edge_index[1]] = step[task.edge_index[1], task.edge_index[0]] = 1
    hops = torch.full((nodes,), torch.inf)
    for count in reversed(range(nodes)):
        hops[torch.linalg.matrix_power(step, count)[:, sources].sum(dim=1) > 0] = count
    return hops


class TestTheorem31:
    """Edges with both ends k hops or more from the labels have no hypergradient."""

    @pytest.mark.parametrize("layers", [2, 3])
    @pytest.mark.parametrize("directed", [False, True])
    def test_scores_and_hypergradients_are_those_on_the_whole_graph(
        self, layers: int, directed: bool
    ):
        task = path_task()
        edges, x = task.edge_index, task.train.x.double()
        assert edges is not None
        inner, outer = torch.tensor([0, 1, 4]), torch.tensor([3, 6])
        shape = (2, edges.shape[1]) if directed else (edges.shape[1],)
        weights = 0.5 + torch.rand(shape, dtype=torch.float64, generator=generator(7))
        results = []
        for reach in (None, layers):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                backbone = create("backbones", "gnn", width=4, layers=layers).build(task)
                network = GraphNetwork(backbone, 2).double()
            leaf = weights.clone().requires_grad_()
            given = NetworkProblem(neighborhood(inner, x, edges, reach), task.train.y[inner])
            solved = solve_network(Bilevel(**NETWORK), given, network, leaf, lambda _: None)
            scores = neighborhood(outer, x, edges, reach).scores(solved, leaf)
            loss = functional.cross_entropy(scores, task.train.y[outer])
            results.append((scores.detach(), torch.autograd.grad(loss, leaf)[0]))
        (scores, whole), (near_scores, near) = results
        torch.testing.assert_close(near_scores, scores, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(near, whole, rtol=1e-8, atol=1e-10)
        far = distances(task, [0, 1, 3, 4, 6])[edges].amin(dim=0) >= layers
        assert 5 < int(far.sum()) < edges.shape[1] - 3
        assert bool((whole[..., far] == 0).all())
        assert bool((near[..., far] == 0).all())
        last = int((~far).nonzero()[-1])
        assert bool((whole[..., last] != 0).any())

    def test_appnp_is_taught_on_the_whole_graph(self):
        model = build(path_task(length=12), "appnp", **NETWORK)
        assert bool((model.hypergradient(model.head) != 0).all())


def test_laplacian_hypergradient_reaches_every_edge_but_decays():
    """V_tr and V_out are next to each other at one end of a path of 24 nodes."""
    y = torch.arange(24) % 2
    rows = {"inner": [0, 3], "outer": [1, 2], "validation": [4], "test": [5]}
    nodes = {part: torch.tensor(where) for part, where in rows.items()}
    # The ridge ends what an edge without labels behind it would have: Y constant, so 0.
    model = build(node_task("path", torch.eye(24), y, path(24), nodes), **EDGES_OF_CLUB, ridge=1e-2)
    size = model.hypergradient(model.head).abs()
    assert bool((size > 0).all())
    medians = [float(part.median()) for part in size[3:].split(5)]
    assert all(later < earlier / 2 for earlier, later in itertools.pairwise(medians))


def test_scarcity_holds_the_last_hypergradient_with_its_distances():
    task = path_task()
    for options, expected in (
        (NETWORK, distances(task, [0, 1, 3, 4, 6])),
        (EDGES_OF_CLUB, distances(task, [0, 1, 4]) + distances(task, [3, 6])),
    ):
        model = build(task, **options)
        assert model.arrays() == {}
        model.loss(task.train.x, task.train.y.index_fill(0, model.inner, -1)).backward()
        arrays = model.arrays()
        distance = expected[model.edge_index].amin(dim=0)
        assert torch.equal(arrays["distance"], distance)
        if options is NETWORK:
            assert torch.equal(arrays["hypergradient"] == 0, distance >= 2)
        assert bool(arrays["largest"].all())
        torch.testing.assert_close(
            arrays["hypergradient"].double(), model.hypergradient(model.head), rtol=1e-4, atol=1e-6
        )
