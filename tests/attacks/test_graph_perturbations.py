"""Edges that come or go at random, and what is done to features of nodes, on all methods."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from make_bilevel import dense_minimum, karate
from make_cells import node_cell, small_cell, trained
from torch import Tensor, nn

from lapbench.attacks import random_edges
from lapbench.attacks.base.attack import Attack, Candidate
from lapbench.attacks.base.target import Target
from lapbench.attacks.gaussian_noise import GaussianNoise
from lapbench.attacks.neuron_dropout import NeuronDropout
from lapbench.attacks.pgd import PGD
from lapbench.attacks.random_edges import RandomEdges, deleted, inserted
from lapbench.attacks.weight_quantization import WeightQuantization
from lapbench.datasets.base.task import Split
from lapbench.methods.base.capabilities import finish
from lapbench.methods.bilevel.laplacian_model import LaplacianModel
from lapbench.methods.bilevel.node_model import NodeModel
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component

KINDS = ["insertion", "deletion"]
EDGES, NODES = 78, 34
NETWORK: dict[str, Any] = {"inner": "network", "inner_steps": 10}
STEPS: dict[str, Any] = {"hypergradient": "unrolled", "inner_steps": 10}
CELLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "softmax": ("softmax", "gnn", {}),
    "softmax on appnp": ("softmax", "appnp", {}),
    "gll": ("gll", "gnn", {"k": 8}),
    "wnll": ("wnll", "gnn", {"k": 8, "bandwidth_rank": 4}),
    "bilevel": ("bilevel", "gnn", {}),
    "bilevel by steps": ("bilevel", "gnn", STEPS),
    "bilevel within 2 edges": ("bilevel", "gnn", {"power": 2}),
    "bilevel network": ("bilevel", "gnn", NETWORK | STEPS),
    "bilevel network within 2 edges": ("bilevel", "appnp", NETWORK | STEPS | {"power": 2}),
    "observed": ("bilevel", "gnn", {"graph": "observed", "ridge": 0.01}),
    "observed network": ("bilevel", "gnn", NETWORK | {"graph": "observed"}),
}
REFINED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "edges": ("bilevel", "gnn", {"graph": "edges", "ridge": 0.01}),
    "edges network": ("bilevel", "gnn", NETWORK | STEPS | {"graph": "edges"}),
    "directed network": ("bilevel", "gnn", NETWORK | STEPS | {"graph": "edges", "directed": True}),
}


def cell(name: str) -> Cell:
    head, backbone, options = (CELLS | REFINED)[name]
    sizes = {"width": 8} if backbone == "gnn" else {"width": 8, "feature_size": 4}
    return replace(node_cell(head, **options), backbone=Component(backbone, sizes))


@cache
def trained_target(name: str) -> Target:
    """A model trained on the karate club; a test may only read it."""
    model, task, _ = trained(cell(name))
    return Target(model, task, cell(name).seeds, cell(name).method.create_head().gradient_kind)


def run(attack: Attack, target: Target, seed: int = 0) -> list[Candidate]:
    """All candidates of the test split, with the random numbers of a seed."""
    torch.manual_seed(seed)
    return list(attack.perturb(target, target.task.test.x, target.task.test.y))


def recorded(
    monkeypatch: pytest.MonkeyPatch, attack: RandomEdges, target: Target
) -> list[tuple[Tensor, Tensor]]:
    """The edges (2, E') and prediction of each candidate."""
    edges: list[Tensor] = []
    original = random_edges.predicting_on

    @contextmanager
    def spy(model: Any, changed: Tensor) -> Iterator[None]:
        edges.append(changed)
        with original(model, changed):
            yield

    monkeypatch.setattr(random_edges, "predicting_on", spy)
    candidates = run(attack, target)
    return [(e, p(c)) for e, c in zip(edges, candidates, strict=True)]


def p(candidate: Candidate) -> Tensor:
    assert candidate.log_probabilities is not None
    return candidate.log_probabilities


def pairs(edges: Tensor) -> set[tuple[int, int]]:
    return set(zip(*edges.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
class TestDrawnEdges:
    def test_inserted_ones_are_new_and_the_others_stay(self, seed: int):
        torch.manual_seed(seed)
        old = karate().edge_index
        assert old is not None
        edges = inserted(old, NODES, 20)
        assert edges.shape == (2, EDGES + 20)
        assert len(pairs(edges)) == EDGES + 20
        assert pairs(old) < pairs(edges)
        assert all(0 <= i < j < NODES for i, j in pairs(edges))

    def test_deleted_ones_are_gone_and_the_others_stay(self, seed: int):
        torch.manual_seed(seed)
        old = karate().edge_index
        assert old is not None
        edges = deleted(old, 20)
        assert edges.shape == (2, EDGES - 20)
        assert len(pairs(edges)) == EDGES - 20
        assert pairs(edges) < pairs(old)


def test_every_edge_is_equally_probable():
    torch.manual_seed(0)
    old = torch.tensor([[0, 0, 1, 3], [1, 2, 2, 4]])
    draws, counts = 1000, dict.fromkeys(pairs(torch.combinations(torch.arange(5)).T), 0)
    for _ in range(draws):
        for pair in pairs(inserted(old, 5, 2)) - pairs(old) | pairs(old) - pairs(deleted(old, 1)):
            counts[pair] += 1
    for pair, count in counts.items():
        share = 1 / 4 if pair in pairs(old) else 2 / 6
        assert abs(count / draws - share) < 5 * (share * (1 - share) / draws) ** 0.5


def test_all_pairs_can_be_joined():
    torch.manual_seed(0)
    assert inserted(torch.tensor([[0], [3]]), 6, 14).shape == (2, 15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CELLS)
def test_prediction_is_that_of_the_same_model_on_another_graph(
    kind: Any, name: str, monkeypatch: pytest.MonkeyPatch
):
    """A model that is built on a task with these edges, and has the parameters of the trained one.

    Bilevel learning solves its inner problem anew for inputs that are not exactly the task's.
    """
    target = trained_target(name)
    attack = RandomEdges(kind=kind, shares=[0.1, 0.25], draws=2)
    assert attack.skip(target) is None
    sign = 1 if kind == "insertion" else -1
    sizes = [EDGES + sign * round(share * EDGES) for share in (0.1, 0.1, 0.25, 0.25)]
    changes = recorded(monkeypatch, attack, target)
    assert [edges.shape[1] for edges, _ in changes] == sizes
    assert len({prediction.sum().item() for _, prediction in changes}) == 4
    for edges, prediction in changes:
        other = cell(name).build_model(replace(target.task, edge_index=edges))
        other.load_state_dict(target.model.state_dict())
        if name == "observed":
            assert isinstance(other, LaplacianModel)
            expected = dense_minimum(other.problem, torch.ones(edges.shape[1]).double())
            expected = expected.log_softmax(dim=1).float()
        else:
            nearly = 1 + 1e-6 if isinstance(other, NodeModel) else 1
            with torch.no_grad():
                expected = other.eval()(nearly * target.task.test.x)
        torch.testing.assert_close(prediction, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", REFINED)
def test_deleted_edge_is_one_of_weight_0(name: str, monkeypatch: pytest.MonkeyPatch):
    target = trained_target(name)
    model: Any = target.model
    for edges, prediction in recorded(monkeypatch, RandomEdges(kind="deletion", draws=1), target):
        there = torch.tensor(
            [e in pairs(edges) for e in zip(*model.edge_index.tolist(), strict=True)]
        )
        weights = model.graph.theta.detach().sigmoid() * there
        if name == "edges":
            # Eq. 1 divides by the number of edges.
            strength = model.problem.strength * EDGES / edges.shape[1]
            problem = replace(model.problem, strength=strength)
            scores = dense_minimum(problem, weights.double()).float()
        else:
            network = model.network
            scores = network.linear(network.backbone(target.task.test.x, None, weights))
        torch.testing.assert_close(prediction, scores.log_softmax(dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS | REFINED)
class TestAfterwards:
    def attacks(self, name: str) -> list[Attack]:
        return [
            RandomEdges(kind="deletion" if name in REFINED else "insertion", draws=1),
            WeightQuantization(),
        ]

    def test_everything_is_as_before(self, name: str):
        target = trained_target(name)
        before, state = snapshot(target)
        for attack in self.attacks(name):
            run(attack, target)
            check_unchanged(target, before, state)

    def test_everything_is_as_before_after_an_error(self, name: str):
        target = trained_target(name)
        before, state = snapshot(target)

        def fail(module: nn.Module, inputs: Any) -> None:  # noqa: ARG001
            raise RuntimeError("no such luck")

        handle = target.model.register_forward_pre_hook(fail)
        for attack in self.attacks(name):
            with pytest.raises(RuntimeError, match="no such luck"):
                run(attack, target)
        handle.remove()
        check_unchanged(target, before, state)

    def test_numbers_depend_on_the_seed_of_torch_alone(self, name: str):
        target = trained_target(name)
        attack = self.attacks(name)[0]
        first, again, other = (run(attack, target, seed) for seed in (0, 0, 1))
        assert all(p(a).equal(p(b)) for a, b in zip(first, again, strict=True))
        assert not all(p(a).equal(p(b)) for a, b in zip(first, other, strict=True))


def snapshot(target: Target) -> tuple[Tensor, dict[str, Any]]:
    """The prediction, and all tensors of the model: edges and parameters too."""
    return target.model(target.task.test.x), tensors(target.model)


def tensors(model: nn.Module) -> dict[str, Any]:
    kept: dict[str, Any] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if hasattr(model, "edge_index"):
        kept["edges"] = model.edge_index
    return {name: (value, value.data_ptr(), value.clone()) for name, value in kept.items()}


def check_unchanged(target: Target, before: Tensor, state: dict[str, Any]) -> None:
    after = tensors(target.model)
    assert after.keys() == state.keys()
    for name, (value, place, content) in after.items():
        assert value is state[name][0]
        assert place == state[name][1]
        assert content.equal(state[name][2])
    assert target.model(target.task.test.x).equal(before)


@pytest.mark.parametrize("name", ["bilevel", "bilevel network", "edges network"])
def test_quantised_graph_of_bilevel_learning_has_effect(name: str):
    """Weights of edges, and the solution on them, are found anew."""
    target = trained_target(name)
    other: Any = cell(name).build_model(target.task)
    other.load_state_dict(target.model.state_dict())
    for parameter in other.parameters():
        exponent = torch.log2(parameter.data.abs().max()).floor() - 3
        parameter.data = torch.trunc(parameter.data * 2**-exponent) * 2**exponent
    (predicted,) = run(WeightQuantization(), target)
    expected = other.eval()(target.task.test.x.clone().requires_grad_())
    torch.testing.assert_close(p(predicted), expected, atol=1e-5, rtol=1e-5)
    assert not p(predicted).allclose(target.model(target.task.test.x), atol=1e-5)


@pytest.mark.parametrize(
    "attack", [RandomEdges(kind="deletion", draws=1), WeightQuantization(bits=[3])]
)
def test_weights_of_edges_kept_from_training_are_not_used(attack: Attack):
    """Without validation samples the network keeps the weights that it was trained with."""
    task = karate()
    nothing = Split(task.train.x, torch.full_like(task.train.y, -1))
    task = replace(task, validation=nothing)
    made = cell("bilevel network")
    model: Any = made.build_model(task)
    finish(model, task, made.seeds.stream("finish"))
    assert model._solved_for is not None
    other = made.build_model(task)
    other.load_state_dict(model.state_dict())
    target, loaded = (Target(m, task, made.seeds) for m in (model, other))
    before = model(task.test.x)
    for first, second in zip(run(attack, target), run(attack, loaded), strict=True):
        assert p(first).equal(p(second))
        assert not p(first).allclose(before, atol=1e-5)
    assert model(task.test.x).equal(before)


class TestSkipped:
    def test_where_there_is_no_graph(self):
        model, task, _ = trained(small_cell("softmax"))
        target = Target(model, task, small_cell("softmax").seeds)
        for kind in KINDS:
            assert RandomEdges(kind=kind).skip(target) == "two_moons has no graph"  # type: ignore[arg-type]

    def test_where_edges_play_no_part(self):
        without = replace(node_cell("softmax"), backbone=Component("mlp", {"width": 8}))
        model, task, _ = trained(without)
        target = Target(model, task, without.seeds)
        for kind in KINDS:
            assert "does not use the edges" in str(RandomEdges(kind=kind).skip(target))  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", REFINED)
    def test_where_new_edges_have_no_weight(self, name: str):
        reason = str(RandomEdges(kind="insertion").skip(trained_target(name)))
        assert "a new one has none" in reason
        assert RandomEdges(kind="deletion").skip(trained_target(name)) is None

    def test_where_no_more_edges_fit(self):
        target = trained_target("softmax")
        full = torch.combinations(torch.arange(NODES)).T
        crowded = Target(
            target.model, replace(target.task, edge_index=full[:, :-9]), cell("gll").seeds
        )
        assert RandomEdges(kind="insertion", shares=[0.01]).skip(crowded) is None
        reason = str(RandomEdges(kind="insertion", shares=[0.1]).skip(crowded))
        assert reason == "only 9 pairs of nodes of karate have no edge"

    def test_where_no_network_has_neurons(self):
        assert "no nn.ReLU" in str(NeuronDropout().skip(trained_target("bilevel")))
        assert WeightQuantization().skip(trained_target("observed")) == "it has no weights"


@pytest.mark.parametrize(
    ("name", "places"),
    [("softmax", 1), ("softmax on appnp", 1), ("wnll", 2), ("bilevel network", 1)],
)
def test_neurons_fail_on_all_nodes(name: str, places: int, monkeypatch: pytest.MonkeyPatch):
    shapes, dropout = [], nn.functional.dropout

    def spy(values: Tensor, share: float = 0.5, training: bool = True) -> Tensor:
        if share:
            shapes.append(values.shape[0])
        return dropout(values, share, training)

    monkeypatch.setattr(nn.functional, "dropout", spy)
    target = trained_target(name)
    (candidate,) = run(NeuronDropout(shares=[0.4], draws=1), target)
    assert shapes == [NODES] * places
    assert not p(candidate).allclose(target.model(target.task.test.x))


class TestFeatures:
    @pytest.mark.parametrize("norm", ["linf", "l2"])
    @pytest.mark.parametrize("name", ["softmax", "gll", "wnll", "bilevel", "bilevel network"])
    def test_asked_nodes_move_in_their_balls_and_others_stay(self, name: str, norm: Any):
        target = trained_target(name)
        x, y = target.task.test.x, target.task.test.y
        attack = PGD(epsilons=[0.05, 0.5], norm=norm, steps=[2, 6], restarts=2)
        candidates = run(attack, target)
        assert [c.level.steps for c in candidates] == [2, 6, 2, 6] * 2
        order = torch.inf if norm == "linf" else 2
        for candidate in candidates:
            moved = torch.linalg.vector_norm(candidate.x - x, ord=order, dim=1)
            assert bool((moved[y < 0] == 0).all())
            assert bool((moved[y >= 0] > 0).all())
            assert float(moved.max()) <= candidate.level.value * (1 + 1e-5)

    @pytest.mark.parametrize("name", ["softmax", "gll", "bilevel network"])
    def test_raises_the_loss_above_that_of_noise(self, name: str):
        target = trained_target(name)
        y = target.task.test.y
        *_, last = run(PGD(epsilons=[0.3], steps=[10]), target)
        size = (last.x - target.task.test.x).abs()
        noisy = target.task.test.x + size * torch.randn_like(size).sign()

        def loss(x: Tensor) -> float:
            return float(nn.functional.nll_loss(target.model(x), y, ignore_index=-1))

        assert loss(last.x) > loss(noisy) + 1e-3
        assert loss(last.x) > loss(target.task.test.x) + 1e-3

    def test_gaussian_noise_is_feature_noise_of_asked_nodes(self):
        target = trained_target("softmax")
        x, y = target.task.test.x, target.task.test.y
        for candidate in run(GaussianNoise(snrs=[10.0]), target):
            noise = candidate.x - x
            ratio = 20 * (x.norm(dim=1) / noise.norm(dim=1)).log10()
            torch.testing.assert_close(ratio[y >= 0], torch.full_like(ratio, 10.0)[y >= 0])
            assert bool((noise[y < 0] == 0).all())
            assert candidate.numbers["snr"].isnan().equal(y < 0)
