"""Backbones of node tasks: what reaches a node, by which weights, and how it is differentiated.

Pytest makes warnings errors, so these imports also show that no library's warning of its import
gets into the record of a cell.
"""

from typing import Any

import higher
import pytest
import torch
from expect_refusal import refused
from make_cells import create, small_task
from oracle_graph import dense_matrix
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lapbench.datasets.base.nodes import node_task
from lapbench.datasets.base.task import Task
from lapbench.methods.graph.constant import ConstantMatrix

NODES = 12
EDGES = torch.tensor([[0, 1, 2, 3, 0, 5, 6, 7, 8, 2, 4, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 10, 10]])
GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(NODES, 5, dtype=torch.float64, generator=GENERATOR)
SPARSE_X = torch.where(X > 0.6, X, 0)
WEIGHTS = torch.rand(EDGES.shape[1], dtype=torch.float64, generator=GENERATOR) + 0.5
DIRECTED = torch.rand(2, EDGES.shape[1], dtype=torch.float64, generator=GENERATOR) + 0.5
Y = torch.arange(NODES) % 3

GIVEN = [None, WEIGHTS, DIRECTED]
SMALL = {"gnn": {"width": 4}, "appnp": {"width": 4, "feature_size": 3, "steps": 3}}


def graph_task(x: Tensor = X, edges: Tensor = EDGES) -> Task:
    """The nodes of a graph, the last of which are tested; node 11 has no edge."""
    order = torch.arange(len(x))
    rows = {"inner": order[:1], "outer": order[:0], "validation": order[:0], "test": order[1:]}
    return node_task("graph", x.float(), order % 3, edges, rows)


def build(name: str, task: Task | None = None, **options: Any) -> Any:
    """A small network with the same random weights at every call, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {**SMALL[name], **options}
        return create("backbones", name, **sizes).build(task or graph_task()).double()


class Classifier(nn.Module):
    """Logits of all nodes."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        generator = torch.Generator().manual_seed(2)
        weight = torch.randn(3, backbone.feature_size, dtype=torch.float64, generator=generator)
        self.weight = nn.Parameter(weight)

    def forward(self, edge_weight: Tensor) -> Tensor:
        logits: Tensor = self.backbone(X, edge_weight=edge_weight) @ self.weight.T
        return logits


def outer_loss(model: Classifier, edge_weight: Tensor, through_steps: bool = True) -> Tensor:
    """Cross entropy of the last six nodes after two steps of Adam on that of the first six.

    With Adam's usual ε = 1e-8 a first step would hardly be a function of anything but signs.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, eps=0.1)
    inner_weight = edge_weight if through_steps else edge_weight.detach()
    with higher.innerloop_ctx(model, optimizer) as (fast, differentiable):
        for _ in range(2):
            differentiable.step(functional.cross_entropy(fast(inner_weight)[:6], Y[:6]))
        return functional.cross_entropy(fast(edge_weight)[6:], Y[6:])


class TestGNN:
    @pytest.mark.parametrize("layers", [2, 4])
    @pytest.mark.parametrize("weights", GIVEN)
    def test_equals_its_layers_with_dense_matrices(self, layers: int, weights: Tensor | None):
        """Features, and gradients in parameters, inputs and weights."""
        network, x = build("gnn", layers=layers), X.clone().requires_grad_()
        given = None if weights is None else weights.clone().requires_grad_()
        leaves = [x, *network.parameters(), *([] if given is None else [given])]
        forth, back = (torch.ones_like(WEIGHTS) if given is None else given).expand(2, -1)
        adjacency, z = dense_matrix(EDGES, forth, NODES, back), x
        for layer in network.convolutions:
            own, bias, neighbors = layer.own.weight, layer.own.bias, layer.neighbors.weight
            z = (z @ own.T + bias + adjacency @ z @ neighbors.T).relu()
        expected = torch.cat((z, adjacency @ z), dim=1)
        features = network(x, edge_weight=given)
        torch.testing.assert_close(features, expected)
        gradients = torch.autograd.grad((features**3).sum(), leaves)
        torch.testing.assert_close(gradients, torch.autograd.grad((expected**3).sum(), leaves))

    @pytest.mark.parametrize("layers", [2, 3, 4])
    def test_edges_count_within_its_reach_and_not_beyond(self, layers: int):
        """On a path, seen from its first node, edge (e, e + 1) is e hops away."""
        path = torch.stack((torch.arange(7), torch.arange(1, 8)))
        x = torch.rand(8, 5, generator=torch.Generator().manual_seed(1))
        network = build("gnn", graph_task(x, path), layers=layers, width=16)
        assert network.reach == layers
        features = network(x.double())[0]
        for edge in range(7):
            changed = torch.ones(7, dtype=torch.float64).index_fill(0, torch.tensor(edge), 3)
            other = network(x.double(), edge_weight=changed)[0]
            assert torch.equal(features, other) == (edge >= network.reach), edge


@pytest.mark.parametrize("weights", GIVEN)
def test_appnp_equals_its_recursion_with_dense_matrices(weights: Tensor | None):
    network = build("appnp", steps=7, teleport=0.2)
    assert network.reach is None
    forth, back = (torch.ones_like(WEIGHTS) if weights is None else weights).expand(2, -1)
    looped = dense_matrix(EDGES, forth, NODES, back) + torch.eye(NODES)
    scale = looped.sum(dim=1) ** -0.5
    first, _, second = network.nodewise
    own = functional.relu(X @ first.weight.T + first.bias) @ second.weight.T + second.bias
    expected = own
    for _ in range(7):
        expected = 0.8 * (scale[:, None] * looped * scale) @ expected + 0.2 * own
    torch.testing.assert_close(network(X, edge_weight=weights), expected)


@pytest.mark.parametrize("name", ["gnn", "appnp"])
class TestEveryNodeBackbone:
    def test_the_tasks_edges_with_weights_of_one_are_the_default_and_no_part_of_the_state(
        self, name: str
    ):
        network = build(name)
        torch.testing.assert_close(network(X), network(X, EDGES, torch.ones_like(WEIGHTS)))
        assert torch.equal(dict(network.named_buffers())["edge_index"], EDGES)
        assert "edge_index" not in network.state_dict()

    @pytest.mark.parametrize(
        ("nodes", "edges"), [(NODES, [[0, 4], [11, 6]]), (5, [[0, 1, 2], [1, 2, 4]])]
    )
    def test_edges_and_nodes_can_be_others_than_the_tasks(
        self, name: str, nodes: int, edges: list[list[int]]
    ):
        network, given = build(name), torch.tensor(edges)
        other = build(name, graph_task(X[:nodes], given))(X[:nodes])
        torch.testing.assert_close(network(X[:nodes], given), other)
        assert not torch.allclose(network(X)[:nodes], other)

    def test_the_first_directed_weight_is_what_the_first_node_receives_by(self, name: str):
        """With the second weights 0, a change at node j of (i, j) reaches i, and no change j."""
        network, edge = build(name), torch.tensor([[3], [6]])
        weights = torch.tensor([[2.0], [0.0]], dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(
            lambda x: network(x, edge, weights).sum(dim=1), X
        )
        assert jacobian[3, 6].abs().sum() > 0
        assert jacobian[6, 3].abs().sum() == 0
        both = torch.stack((WEIGHTS, WEIGHTS))
        assert torch.equal(network(X, edge_weight=WEIGHTS), network(X, edge_weight=both))

    @pytest.mark.parametrize("weights", GIVEN)
    def test_copies_of_the_nodes_are_copies_of_the_graph(self, name: str, weights: Tensor | None):
        network, copies = build(name), (X, X.flip(1), X)
        alone = [network(x, edge_weight=weights) for x in copies]
        together = network(torch.cat(copies), edge_weight=weights)
        torch.testing.assert_close(together, torch.cat(alone))

    def test_sparse_inputs_equal_dense_ones(self, name: str):
        network = build(name)
        results = []
        for x in (SPARSE_X, ConstantMatrix(SPARSE_X)):
            features = network(x, edge_weight=WEIGHTS)
            gradients = torch.autograd.grad((features**2).sum(), list(network.parameters()))
            results.append([features, *gradients])
        torch.testing.assert_close(*results)

    def test_functional_call_replaces_its_parameters(self, name: str):
        changed = {key: value + 1 for key, value in build(name).named_parameters()}
        other = build(name)
        other.load_state_dict(changed, strict=False)
        replaced = functional_call(build(name), changed, (X,), {"edge_weight": WEIGHTS})
        assert torch.equal(replaced, other(X, edge_weight=WEIGHTS))

    def test_is_differentiable_twice_in_inputs_and_weights(self, name: str):
        network = build(name)
        inputs = (X.clone().requires_grad_(), WEIGHTS.clone().requires_grad_())

        def smooth(x: Tensor, weights: Tensor) -> Tensor:
            features: Tensor = network(x, edge_weight=weights)
            return features.tanh()

        assert torch.autograd.gradgradcheck(smooth, inputs, fast_mode=True)

    @pytest.mark.parametrize("weights", [WEIGHTS, DIRECTED])
    def test_hypergradient_through_unrolled_steps_equals_finite_differences(
        self, name: str, weights: Tensor
    ):
        """Of an outer loss after steps of Adam on an inner loss, along a random direction."""
        model = Classifier(build(name))
        given = weights.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(outer_loss(model, given), given)
        (direct,) = torch.autograd.grad(outer_loss(model, given, through_steps=False), given)
        direction = torch.randn(
            weights.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )
        above, below = (outer_loss(model, weights + h * direction).item() for h in (1e-5, -1e-5))
        expected = (above - below) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-6)
        assert float((direct * direction).sum()) != pytest.approx(expected, rel=1e-2)

    @pytest.mark.parametrize("rows", [0, 1, NODES - 1, NODES + 1])
    def test_other_numbers_of_rows_are_refused(self, name: str, rows: int):
        with refused(ValueError, f"{name}: received inputs ({rows}, 5)", "of 12 rows"):
            build(name)(torch.zeros(rows, 5, dtype=torch.float64))

    @pytest.mark.parametrize("shape", [(11,), (24,), (1, 12), (3, 12)])
    def test_weights_that_do_not_fit_are_refused(self, name: str, shape: tuple[int, ...]):
        with refused(ValueError, "edge_weight", shape, "(12,)", "(2, 12)"):
            build(name)(X, edge_weight=torch.ones(shape))

    def test_copies_of_sparse_inputs_and_tasks_without_a_graph_are_refused(self, name: str):
        with refused(ValueError, "sparse inputs (24, 5)"):
            build(name)(ConstantMatrix(torch.cat((X, X))))
        with refused(ValueError, f"{name}: received two_moons", "mlp"):
            create("backbones", name).build(small_task())
