"""Backbones of node tasks: what reaches a node, by which weights, and how it is differentiated."""

import subprocess
import sys
from typing import Any

import higher
import pytest
import torch
import torch_geometric.nn as geometric
from expect_refusal import refused
from make_cells import create, small_task
from oracle_graph import dense_matrix, finite_differences, relative_error
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lapbench.datasets.base.nodes import node_task
from lapbench.datasets.base.task import Task
from lapbench.methods.graph.constant import ConstantMatrix

NODES = 12
EDGES = torch.tensor([[0, 1, 2, 3, 0, 5, 6, 7, 8, 2, 4, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 10, 10]])
BOTH = torch.cat((EDGES, EDGES.flip(0)), dim=1)
GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(NODES, 5, dtype=torch.float64, generator=GENERATOR)
SPARSE_X = torch.where(X > 0.6, X, 0)
WEIGHTS = torch.rand(EDGES.shape[1], dtype=torch.float64, generator=GENERATOR) + 0.5
DIRECTED = torch.rand(2, EDGES.shape[1], dtype=torch.float64, generator=GENERATOR) + 0.5
Y = torch.arange(NODES) % 3

BACKBONES = ["gnn", "appnp"]
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
        self.linear = nn.Linear(backbone.feature_size, 3).double()
        nn.init.normal_(self.linear.weight, generator=torch.Generator().manual_seed(2))
        nn.init.zeros_(self.linear.bias)

    def forward(self, edge_weight: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.backbone(X, edge_weight=edge_weight))
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
    def test_path_of_three_nodes_by_hand(self):
        """X = (1, 2, 3), W1 = 2, W2 = 1, b = -1 and weights 3, 5: all sums by mental arithmetic."""
        x = torch.tensor([[1.0], [2.0], [3.0]])
        network = build("gnn", graph_task(x, torch.tensor([[0, 1], [1, 2]])), width=1)
        network.load_state_dict(
            {
                "convolutions.0.own.weight": torch.tensor([[2.0]]),
                "convolutions.0.own.bias": torch.tensor([-1.0]),
                "convolutions.0.neighbors.weight": torch.tensor([[1.0]]),
            }
        )
        hidden, received = network(x.double()).T.tolist()
        assert hidden == [3, 7, 7]
        assert received == [7, 10, 7]
        hidden, received = network(x.double(), edge_weight=torch.tensor([3.0, -5.0]).double()).T
        assert hidden.tolist() == [7, 0, 0]
        assert received.tolist() == [0, 21, 0]

    @pytest.mark.parametrize("layers", [2, 4])
    @pytest.mark.parametrize("weights", [None, WEIGHTS, DIRECTED])
    def test_with_a_linear_classifier_equals_layers_of_torch_geometric(
        self, layers: int, weights: Tensor | None
    ):
        """Outputs, and gradients in parameters, inputs and weights."""
        network = build("gnn", layers=layers)
        last = nn.Linear(network.feature_size, 3).double()
        reference = [geometric.GraphConv(size, 4) for size in [5, 4, 4][: layers - 1]]
        for ours, other in zip(network.convolutions, reference, strict=True):
            other.lin_root.weight, other.lin_rel.weight = ours.own.weight, ours.neighbors.weight
            other.lin_rel.bias = ours.own.bias
        final = geometric.GraphConv(4, 3)
        own, neighbors = last.weight.chunk(2, dim=1)
        final.lin_root.weight, final.lin_rel.weight = nn.Parameter(own), nn.Parameter(neighbors)
        final.lin_rel.bias = last.bias

        leaves = [X.clone().requires_grad_(), *network.parameters()]
        given = doubled = None
        if weights is not None:
            given = weights.clone().requires_grad_()
            leaves.append(given)
            forth, back = given.expand(2, -1)
            doubled = torch.cat((back, forth))
        found = last(network(leaves[0], edge_weight=given))
        expected = leaves[0]
        for layer in reference:
            expected = layer(expected, BOTH, doubled).relu()
        expected = final(expected, BOTH, doubled)
        torch.testing.assert_close(found, expected)
        gradients = torch.autograd.grad((found**2).sum(), leaves)
        torch.testing.assert_close(gradients, torch.autograd.grad((expected**2).sum(), leaves))

    @pytest.mark.parametrize("layers", [2, 3, 4])
    def test_edges_count_within_its_reach_and_not_beyond(self, layers: int):
        """On a path, seen from its first node, edge (e, e + 1) is e hops away."""
        length = 8
        path = torch.stack((torch.arange(length - 1), torch.arange(1, length)))
        x = torch.rand(length, 5, generator=torch.Generator().manual_seed(1))
        network = build("gnn", graph_task(x, path), layers=layers, width=16)
        assert network.reach == layers
        ones = torch.ones(length - 1, dtype=torch.float64)
        features = network(x.double(), edge_weight=ones)[0]
        for edge in range(length - 1):
            changed = ones.clone()
            changed[edge] = 3
            other = network(x.double(), edge_weight=changed)[0]
            assert torch.equal(features, other) == (edge >= network.reach), edge


class TestAPPNP:
    @pytest.mark.parametrize("weights", [None, WEIGHTS, DIRECTED])
    def test_equals_its_recursion_with_dense_matrices(self, weights: Tensor | None):
        network = build("appnp", steps=7, teleport=0.2)
        forth, back = (torch.ones_like(WEIGHTS) if weights is None else weights).expand(2, -1)
        looped = dense_matrix(EDGES, forth, NODES, back) + torch.eye(NODES)
        scale = looped.sum(dim=1) ** -0.5
        first, _, second = network.nodewise
        own = functional.relu(X @ first.weight.T + first.bias) @ second.weight.T + second.bias
        expected = own
        for _ in range(7):
            expected = 0.8 * (scale[:, None] * looped * scale) @ expected + 0.2 * own
        torch.testing.assert_close(network(X, edge_weight=weights), expected)

    def test_its_reach_is_not_limited_to_some_hops(self):
        assert build("appnp").reach is None


@pytest.mark.parametrize("name", BACKBONES)
class TestEveryNodeBackbone:
    def test_features_have_the_stated_size(self, name: str):
        network = build(name)
        assert network(X).shape == (NODES, network.feature_size)

    def test_activations_are_distinct_and_not_inplace(self, name: str):
        modules = [module for _, module in build(name).named_modules(remove_duplicate=False)]
        found = [module for module in modules if isinstance(module, nn.ReLU)]
        assert found
        assert len(set(found)) == len(found)
        assert not any(activation.inplace for activation in found)

    def test_weights_of_one_on_the_tasks_edges_are_the_default(self, name: str):
        network = build(name)
        ones = torch.ones(EDGES.shape[1], dtype=torch.float64)
        torch.testing.assert_close(network(X), network(X, EDGES, ones))

    def test_edges_can_be_others_than_the_tasks(self, name: str):
        network, edges = build(name), torch.tensor([[0, 4], [11, 6]])
        other = build(name, graph_task(edges=edges))
        torch.testing.assert_close(network(X, edges), other(X))
        assert not torch.allclose(network(X), other(X))

    def test_a_part_of_the_nodes_with_its_edges_is_a_graph(self, name: str):
        edges = torch.tensor([[0, 1, 2], [1, 2, 4]])
        alone = build(name, graph_task(X[:5], edges))
        torch.testing.assert_close(build(name)(X[:5], edges), alone(X[:5]))

    def test_the_edges_are_a_buffer_outside_the_state(self, name: str):
        network = build(name)
        assert torch.equal(dict(network.named_buffers())["edge_index"], EDGES)
        assert "edge_index" not in network.state_dict()

    def test_symmetric_weights_can_be_given_twice(self, name: str):
        network = build(name)
        both = torch.stack((WEIGHTS, WEIGHTS))
        assert torch.equal(network(X, edge_weight=WEIGHTS), network(X, edge_weight=both))

    def test_the_first_directed_weight_is_what_the_first_node_receives_by(self, name: str):
        """With the second weights 0, a change at node j of (i, j) reaches i, and no change j."""
        network, edge = build(name), torch.tensor([[3], [6]])
        weights = torch.tensor([[2.0], [0.0]], dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(
            lambda x: network(x, edge, weights).sum(dim=1), X
        )
        assert jacobian[3, 6].abs().sum() > 0
        assert jacobian[6, 3].abs().sum() == 0

    @pytest.mark.parametrize("weights", [None, WEIGHTS, DIRECTED])
    def test_copies_of_the_nodes_are_copies_of_the_graph(self, name: str, weights: Tensor | None):
        network, other = build(name), X.flip(1)
        found = network(torch.cat((X, other, X)), edge_weight=weights)
        alone = [network(x, edge_weight=weights) for x in (X, other, X)]
        torch.testing.assert_close(found, torch.cat(alone))

    def test_sparse_inputs_equal_dense_ones(self, name: str):
        network = build(name)
        results = []
        for x in (SPARSE_X, ConstantMatrix(SPARSE_X)):
            features = network(x, edge_weight=WEIGHTS)
            gradients = torch.autograd.grad((features**2).sum(), list(network.parameters()))
            results.append([features, *gradients])
        for dense, sparse in zip(*results, strict=True):
            torch.testing.assert_close(sparse, dense)

    def test_functional_call_replaces_its_parameters(self, name: str):
        network, task = build(name), graph_task()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            other = create("backbones", name, **SMALL[name]).build(task).double()
        found = functional_call(
            network, dict(other.named_parameters()), (X,), {"edge_weight": WEIGHTS}
        )
        assert torch.equal(found, other(X, edge_weight=WEIGHTS))

    def test_is_differentiable_twice_in_inputs_and_weights(self, name: str):
        network = build(name)
        inputs = (X.clone().requires_grad_(), WEIGHTS.clone().requires_grad_())

        def smooth(x: Tensor, weights: Tensor) -> Tensor:
            features: Tensor = network(x, edge_weight=weights)
            return features.tanh()

        assert torch.autograd.gradgradcheck(smooth, inputs)

    @pytest.mark.parametrize("weights", [WEIGHTS, DIRECTED])
    def test_hypergradient_through_unrolled_steps_equals_finite_differences(
        self, name: str, weights: Tensor
    ):
        """Of an outer loss after steps of Adam on an inner loss, in the weights of the edges."""
        model = Classifier(build(name))
        given = weights.clone().requires_grad_()
        (found,) = torch.autograd.grad(outer_loss(model, given), given)
        (direct,) = torch.autograd.grad(outer_loss(model, given, through_steps=False), given)
        expected = finite_differences(lambda at: outer_loss(model, at).detach(), weights, h=1e-5)
        assert relative_error(found, expected) < 1e-6
        assert relative_error(direct, expected) > 1e-2

    @pytest.mark.parametrize("rows", [0, 1, NODES - 1, NODES + 1])
    def test_other_numbers_of_rows_are_refused(self, name: str, rows: int):
        with refused(ValueError, f"{name}: received inputs ({rows}, 5)", "of 12 rows"):
            build(name)(torch.zeros(rows, 5, dtype=torch.float64))

    def test_copies_of_sparse_inputs_are_refused(self, name: str):
        with refused(ValueError, "sparse inputs (24, 5)"):
            build(name)(ConstantMatrix(torch.cat((X, X))))

    @pytest.mark.parametrize("shape", [(11,), (24,), (1, 12), (3, 12)])
    def test_weights_that_do_not_fit_are_refused(self, name: str, shape: tuple[int, ...]):
        with refused(ValueError, "edge_weight", shape, "(12,)", "(2, 12)"):
            build(name)(X, edge_weight=torch.ones(shape))

    def test_tasks_without_a_graph_are_refused_with_the_remedy(self, name: str):
        with refused(ValueError, f"{name}: received two_moons", "mlp"):
            create("backbones", name).build(small_task())


def test_importing_them_leaves_no_warning_in_the_record_of_a_cell():
    """A cell records all warnings; that of a library's import would be shown as its own."""
    code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import lapbench.methods.backbones.appnp, lapbench.methods.backbones.gnn
assert not caught, [str(warning.message) for warning in caught]
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
