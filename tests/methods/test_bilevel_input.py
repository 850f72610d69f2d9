"""What bilevel learning is given: distances, graphs and hyper-parameters."""

import math
from dataclasses import replace
from typing import Any

import networkx
import pytest
import torch
from expect_refusal import refused
from make_bilevel import build, generator, karate, path, random_edges
from make_cells import small_task
from pydantic import ValidationError
from torch import Tensor

from lapbench.datasets.base.task import Split
from lapbench.methods.bilevel import Bilevel
from lapbench.methods.bilevel.hops import hops
from lapbench.methods.bilevel.learned_graph import (
    GraphToGraph,
    Refined,
    degree_penalty,
    undirected_weights,
    within_hops,
)
from lapbench.methods.bilevel.network_problem import neighborhood
from lapbench.methods.graph.constant import ConstantMatrix

TWO_PARTS = torch.cat((random_edges(12, 5), path(4) + 12), dim=1)
"""Sixteen nodes in two components, and a seventeenth without edges."""

NETWORK = {"inner": "network", "hypergradient": "unrolled"}


def as_networkx(edges: Tensor, nodes: int) -> Any:
    graph = networkx.empty_graph(nodes)
    graph.add_edges_from(edges.T.tolist())
    return graph


class TestDistances:
    @pytest.mark.parametrize("sources", [[0], [3, 13], [16], []])
    def test_hops_are_those_of_breadth_first_search(self, sources: list[int]):
        expected = torch.full((17,), torch.inf)
        if sources:
            graph = as_networkx(TWO_PARTS, 17)
            for node, length in networkx.multi_source_dijkstra_path_length(graph, sources).items():
                expected[node] = length
        assert torch.equal(hops(TWO_PARTS, 17, torch.tensor(sources, dtype=torch.int64)), expected)

    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_edges_within_hops_are_those_of_the_power_of_the_graph(self, power: int):
        expected = sorted(map(sorted, networkx.power(as_networkx(TWO_PARTS, 17), power).edges))
        assert within_hops(TWO_PARTS, 17, power).T.tolist() == expected

    def test_a_power_of_the_graph_is_refined(self):
        task: Any = karate()
        edges = networkx.power(as_networkx(task.edge_index, 34), 2).number_of_edges()
        assert build(task, graph="edges", power=2).graph.theta.shape == (edges,)

    @pytest.mark.parametrize("reach", [1, 2, 3])
    def test_neighborhood_is_the_ball_and_its_edges(self, reach: int):
        wanted, x = torch.tensor([7, 13]), torch.rand(17, 3, generator=generator(0))
        around = neighborhood(wanted, x, TWO_PARTS, reach)
        distance = hops(TWO_PARTS, 17, wanted)
        assert around.nodes.tolist() == (distance <= reach).nonzero()[:, 0].tolist()
        assert torch.equal(around.nodes[around.positions], wanted)
        nearer = (distance[TWO_PARTS] < reach).any(dim=0)
        assert around.edges.tolist() == nearer.nonzero()[:, 0].tolist()
        assert torch.equal(around.nodes[around.edge_index], TWO_PARTS[:, around.edges])
        assert torch.equal(around.x, x[around.nodes])

    def test_inputs_that_are_mostly_zero_become_sparse_unless_a_gradient_is_asked_for(self):
        eye = torch.eye(17)
        for x, kind in ((eye, ConstantMatrix), (eye.clone().requires_grad_(), Tensor)):
            assert isinstance(neighborhood(torch.tensor([7]), x, TWO_PARTS, 2).x, kind)


class TestGraphs:
    def test_degree_penalty_by_hand(self):
        """On 0 - 1 - 2 and a node without edges: degrees 2, 5, 3; directed 2, 7 + 3, 5."""
        weights = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
        penalty = degree_penalty(weights, path(3), 4)
        assert penalty.item() == pytest.approx(-(math.log(2) + math.log(5) + math.log(3)) / 3)
        (gradient,) = torch.autograd.grad(penalty, weights)
        assert gradient.tolist() == pytest.approx([-(1 / 2 + 1 / 5) / 3, -(1 / 5 + 1 / 3) / 3])
        directed = torch.tensor([[2.0, 3.0], [7.0, 5.0]])
        expected = -(math.log(2) + math.log(10) + math.log(5)) / 3
        assert float(degree_penalty(directed, path(3), 4)) == pytest.approx(expected)
        assert degree_penalty(weights[:0], path(1), 4).item() == 0

    @pytest.mark.parametrize("directed", [False, True])
    def test_degree_penalty_teaches_every_edge(self, directed: bool):
        task = karate()
        options = {"graph": "edges", "directed": directed, "laplacian_strength": 1e-9}
        model = build(task, regularization=1.0, **options)
        y = task.train.y.index_fill(0, model.inner, -1)
        model.loss(task.train.x, y).backward()
        assert model.graph.theta.shape == ((2, 78) if directed else (78,))
        assert bool((model.graph.theta.grad < 0).all())

    def test_refined_weights_start_between_one_half_and_the_sigmoid_of_one(self):
        weights = Refined(1000, directed=False)(torch.empty(0), path(1001)).detach()
        assert 0.5 <= float(weights.min()) < 0.51
        assert 0.725 < float(weights.max()) < 1 / (1 + math.exp(-1))

    def test_directed_weights_have_their_mean_in_the_laplacian(self):
        weights = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
        assert undirected_weights(weights).tolist() == [2, 4]
        assert undirected_weights(weights[0]).tolist() == [1, 2]

    def test_weights_from_features_are_symmetric_in_the_ends_and_between_0_and_1(self):
        graph, features = GraphToGraph(3), 3 * torch.randn(17, 3, generator=generator(1))
        weights = graph(features, TWO_PARTS)
        assert torch.equal(weights, graph(features, TWO_PARTS.flip(0)))
        assert bool(((weights > 0) & (weights < 1)).all())
        assert len(weights.unique()) > 5
        assert torch.equal(weights, graph(-features, TWO_PARTS))
        torch.testing.assert_close(weights, graph(features + 1, TWO_PARTS))
        assert len(graph(torch.ones(17, 3), TWO_PARTS).unique()) == 1


def test_constant_matrix_has_products_and_two_derivatives_of_the_dense_matrix():
    given = (torch.rand(6, 5, generator=generator(2)) - 0.7).relu().double()
    leaf = torch.randn(5, 3, generator=generator(3)).double().requires_grad_()
    results = []
    for matrix in (given, ConstantMatrix(given)):
        product = matrix @ leaf
        (first,) = torch.autograd.grad((product**3).sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), leaf)
        results.append((product, first, second))
    torch.testing.assert_close(*results)
    assert (len(matrix), tuple(matrix.shape)) == (6, (6, 5))
    assert torch.autograd.gradgradcheck(lambda u: ConstantMatrix(given) @ u.tanh(), leaf)


class TestHyperParameters:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"inner": "network"}, ["hypergradient", "network"]),
            (
                NETWORK | {"inner_optimizer": "heavy-ball"},
                ['inner_optimizer: received "heavy-ball"'],
            ),
            ({"directed": True}, ["directed", 'graph = "g2g"']),
            (
                {"hypergradient": "truncated", "truncation": 11, "inner_steps": 10},
                ["truncation: received 11", "inner_steps = 10"],
            ),
            ({"laplacian_strength": 0.0}, ["laplacian_strength", "0"]),
            ({"ridge": -1e-5}, ["ridge", "-1e-05"]),
            ({"graph": "dense"}, ["graph", "'observed', 'edges' or 'g2g'"]),
            # Without effect.
            ({"inner_steps": 7}, ["inner_steps: received 7", 'hypergradient = "implicit"']),
            ({"inner_optimizer": "heavy-ball"}, ["inner_optimizer: received 'heavy-ball'"]),
            (
                {"hypergradient": "unrolled", "tolerance": 1e-4},
                ["tolerance", 'hypergradient = "unrolled"'],
            ),
            ({"hypergradient": "unrolled", "truncation": 5}, ["truncation: received 5"]),
            (NETWORK | {"ridge": 0.1}, ["ridge: received 0.1", 'inner = "network"']),
            (NETWORK | {"precision": "float32"}, ["precision: received 'float32'", "inner"]),
            ({"graph": "observed", "regularization": 1.0}, ["regularization", '"observed"']),
        ],
    )
    def test_what_does_not_go_together_or_has_no_effect_is_refused(
        self, options: dict[str, Any], named: list[str]
    ):
        with refused(ValidationError, *named):
            Bilevel(**options)

    def test_inner_steps_and_rate_are_those_of_the_inner_problem(self):
        laplacian, network = Bilevel(hypergradient="unrolled"), Bilevel(**NETWORK)
        assert (laplacian.rate, laplacian.steps) == (0.1, 500)
        assert (network.rate, network.steps) == (0.01, 100)
        assert Bilevel(inner="network", graph="observed").gradient_kind == "autograd"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, None),
            ({"graph": "edges"}, 'graph = "edges"'),
            ({"power": 2}, "power = 2"),
            (NETWORK, 'inner = "network"'),
            ({"graph": "edges", "power": 3}, 'graph = "edges" and power = 3'),
        ],
    )
    def test_what_needs_a_graph_is_skipped_without_one(
        self, options: dict[str, Any], reason: str | None
    ):
        skipped = Bilevel(**options).skip(small_task())
        assert skipped is None if reason is None else f"bilevel: {reason} " in str(skipped)
        assert Bilevel(**options).skip(karate()) is None

    def test_a_network_needs_a_backbone_that_uses_the_graph(self):
        with refused(ValueError, "gnn"):
            build(karate(), "mlp", **NETWORK)

    def test_a_class_that_the_inner_nodes_lack_is_refused(self):
        """Without a ridge anywhere, else where the outer nodes have it."""
        task: Any = karate()
        y = torch.where(task.train.y == 0, 0, -1)
        with refused(ValueError, "ridge = 0", "node 0", "1 of 2"):
            build(replace(task, train=Split(task.train.x, y)), graph="edges", ridge=0.0)
        y = y.index_copy(0, task.outer, task.train.y[task.outer])
        with refused(ValueError, "V_tr: karate", "class 1"):
            build(replace(task, train=Split(task.train.x, y)), graph="edges")
