"""Training on the nodes of a graph: which labels each part sees, and what is stored."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from expect_refusal import refused
from make_cells import (
    EPOCHS,
    METHODS,
    NODES,
    in_training,
    loaded,
    metrics,
    node_cell,
    outcome,
    prediction,
    run,
    small_cell,
)
from oracle_graph import dense_solution, dense_weights
from oracle_wnll import NEIGHBORS, RANK, dense_values
from torch import Tensor
from torch.nn import functional

from lapbench.errors import LapbenchError
from lapbench.measure import timing
from lapbench.methods.base.capabilities import finish
from lapbench.methods.base.smoothness import smoothness_by_depth
from lapbench.running.cell import Outcome
from lapbench.training.adversarial import AdversarialTraining
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train
from lapbench.training.metrics import accuracy


@pytest.mark.parametrize("method", ["bilevel", "gll", "wnll"])
def test_labelled_nodes_of_the_graph_are_never_in_the_loss(method: str):
    """They are half of the training nodes, stratified; their classes are not in the batch."""
    cell = node_cell(method)
    task = cell.load_task()
    model: Any = cell.build_model(task)
    seen: list[tuple[Tensor, Tensor, Any]] = []
    epochs: list[Epoch] = []
    loss = model.loss

    def note(x: Tensor, y: Tensor) -> Tensor:
        rows = model.inner if method == "bilevel" else model.rows
        seen.append((x, y, rows["template"] if method == "wnll" else rows))
        result: Tensor = loss(x, y)
        return result

    model.loss = note
    train(model, task, cell.budget, cell.seeds, observer=TrainingObserver(epoch=epochs.append))
    for epoch, (x, y, given) in zip(epochs[1:], seen, strict=True):
        assert x.equal(task.train.x)
        assert y.equal(task.train.y.index_fill(0, epoch.held_out, -1))
        if epoch.phase == "linear":
            assert not len(epoch.held_out)
        else:
            assert sorted(given.tolist()) == sorted(epoch.held_out.tolist())
            assert task.train.y[given].bincount().tolist() == [2, 2]
            assert y[y >= 0].bincount().tolist() == [2, 2]
    assert epochs[-1].phase != "linear"


def rest_of(rows: Tensor) -> Tensor:
    return torch.arange(NODES)[~torch.isin(torch.arange(NODES), rows)]


def test_gll_solves_the_graph_whose_labelled_nodes_stand_first():
    """By a dense solve: values, loss, and the gradient of the loss in every parameter."""
    cell = node_cell("gll", k=7, tau=0.1)
    model: Any
    model, task, rest = in_training(cell)
    model.double()
    x, base = task.train.x.double(), rest_of(rest)
    features, labels = model.features(x), functional.one_hot(task.train.y[base], 2).double()
    weights = dense_weights(torch.cat([features[base], features[rest]]), 7, "self-tuning")
    expected = features.new_zeros(NODES, 2).index_copy(0, base, labels)
    expected = expected.index_copy(0, rest, dense_solution(weights, labels, 0.1))
    torch.testing.assert_close(model.solve(x), expected, rtol=1e-7, atol=1e-9)
    shares = expected / expected.sum(dim=1, keepdim=True)
    torch.testing.assert_close(model(x)[rest].exp(), shares[rest], rtol=1e-6, atol=1e-7)
    y = task.train.y.index_fill(0, base, -1)
    known = (y >= 0).nonzero()[:, 0]
    loss = -(expected[known, y[known]] + 1e-8).log().mean()
    torch.testing.assert_close(model.loss(x, y), loss, rtol=1e-7, atol=1e-9)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(model.loss(x, y), parameters)
    for result, exact in zip(gradients, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(result, exact, rtol=1e-6, atol=1e-9)


def test_wnll_interpolates_between_the_training_nodes():
    cell = node_cell("wnll", k=NEIGHBORS, bandwidth_rank=RANK)
    task = cell.load_task()
    model: Any = cell.build_model(task).double()
    finish(model, task, cell.seeds.stream("finish"))
    features, template = model.features(task.test.x.double()), model.rows["template"]
    assert sorted(template.tolist()) == (task.train.y >= 0).nonzero()[:, 0].tolist()
    result, rest, y = model.outputs(features).detach(), rest_of(template), task.train.y[template]
    expected = dense_values(features[rest], features[template], y)
    torch.testing.assert_close(result[rest], torch.as_tensor(expected)[:, :2])
    assert result[template].equal(functional.one_hot(y, 2).double())


@cache
def attacked(name: str) -> Outcome:
    """What comes of a method in training against an attack."""
    return run(replace(node_cell(name), training="pgd", pgd=AdversarialTraining(0.2, 0.1, 2)))


class TestInnerTraining:
    def test_has_no_class_of_an_outer_node(self):
        everything = node_cell("softmax").load_task()
        task = replace(node_cell("softmax"), train="inner").load_task()
        assert everything.outer is not None
        assert task.train.y.equal(everything.train.y.index_fill(0, everything.outer, -1))
        assert task.train.y[task.train.y >= 0].bincount().tolist() == [2, 2]
        for name in ("outer", "outer_labels", "edge_index"):
            assert getattr(task, name).equal(getattr(everything, name))

    @pytest.mark.parametrize("method", [name for name in METHODS if name != "bilevel"])
    def test_runs_and_is_measured_on_outer_nodes_all_the_same(self, method: str):
        result = run(replace(node_cell(method), train="inner"))
        assert result.record.status == "ok", result.record.reason
        assert metrics(result)["outer_accuracy"].count == 4

    def test_leaves_bilevel_learning_the_observed_graph_alone(self):
        refused = run(replace(node_cell("bilevel"), train="inner")).record
        assert refused.status == "failed"
        assert 'use train = "all", or graph = "observed"' in str(refused.reason)
        observed = run(replace(node_cell("bilevel", graph="observed"), train="inner"))
        assert observed.record.status == "ok"

    def test_needs_data_that_name_outer_nodes(self):
        with refused(LapbenchError, "train", '"inner"', "two_moons", "cora"):
            replace(small_cell("softmax"), train="inner").load_task()


@pytest.mark.parametrize("method", ["softmax", "gll", "bilevel"])
class TestAttack:
    def test_makes_another_training(self, method: str):
        natural, result = outcome(method), attacked(method)
        assert result.record.curves["training_loss"] != natural.record.curves["training_loss"]
        assert not prediction(result).equal(prediction(natural))

    def test_leaves_prediction_to_the_inputs_of_the_task(self, method: str):
        """Nothing that was solved on attacked inputs is kept."""
        result = attacked(method)
        task, model = result.record.cell.load_task(), loaded(result.record.cell, result.state or {})
        anew = model(task.test.x.clone().requires_grad_()).detach()
        torch.testing.assert_close(prediction(result), anew, atol=1e-5, rtol=1e-5)


def test_step_of_softmax_is_timed_on_all_nodes(monkeypatch: pytest.MonkeyPatch):
    """As a step of training is, whose cost is that of the whole graph."""
    timed: list[int] = []
    take_step = timing.take_step

    def spy(model: Any, optimizer: Any, x: Tensor, y: Tensor, recipe: Any) -> float:
        timed.append(len(y))
        return take_step(model, optimizer, x, y, recipe)

    monkeypatch.setattr(timing, "take_step", spy)
    record = run(replace(node_cell("gll"), labeled=6)).record
    assert set(timed) == {NODES}
    assert record.timing is not None
    assert record.timing.phases == ["gll"] * (EPOCHS - 1)  # The first pair warms up.
    assert record.timing.epochs == {"gll": EPOCHS}
    assert record.timing.training_samples == NODES


@pytest.mark.parametrize("method", METHODS)
def test_arrays_for_figures_are_of_all_nodes(method: str):
    """Label smoothness is of one batch: the known among them are fewer than a batch of others."""
    cell = node_cell(method)
    stored = replace(cell.evaluation, snapshot_epochs=[0, EPOCHS], smoothness_powers=[1, 2])
    result = run(replace(cell, evaluation=stored))
    assert result.record.metrics == outcome(method).record.metrics
    assert result.arrays is not None
    assert result.state is not None
    task, model = cell.load_task(), loaded(cell, result.state)
    for epoch in (0, EPOCHS):
        assert len(result.arrays[f"features_{epoch:06d}"]) == NODES
    assert torch.from_numpy(result.arrays["labels"]).equal(task.train.y)
    for power in (1, 2):
        if method == "bilevel":
            assert f"smoothness_{power}" not in result.arrays
            continue
        with torch.no_grad():
            expected = smoothness_by_depth(model, task.train.x, task.train.y, power)
        assert torch.from_numpy(result.arrays[f"smoothness_{power}"]).equal(expected[None])


@pytest.mark.parametrize("update", ["entropy", "l2", "entropy-local-max", "l2-local-max"])
def test_gll_is_skipped_where_scores_would_choose_half_of_the_nodes(update: str):
    record = run(node_cell("gll", base_update=update)).record
    assert record.status == "skipped"
    assert f"base_update = {update} chooses few of many samples; on node tasks half" in str(
        record.reason
    )


def test_fixed_base_set_of_nodes_is_that_of_the_first_epoch():
    held_out: dict[str, list[list[int]]] = {"fixed": [], "random": []}
    for update, result in held_out.items():
        cell = node_cell("gll", base_update=update)
        task = cell.load_task()

        def note(epoch: Epoch, result: list[list[int]] = result) -> None:
            result.append(epoch.held_out.tolist())

        train(
            cell.build_model(task),
            task,
            cell.budget,
            cell.seeds,
            observer=TrainingObserver(epoch=note),
        )
    assert held_out["fixed"] == [held_out["random"][0]] * (EPOCHS + 1)
    assert len({tuple(rows) for rows in held_out["random"]}) > 1


def test_gll_after_softmax_has_the_curves_of_both_classifiers():
    """By hand after every epoch: the loss outside the base set, and accuracy in validation."""
    cell = node_cell("gll", softmax_share=0.5)
    task = cell.load_task()
    model: Any = cell.build_model(task)
    phases: list[str] = []
    known = task.validation.y >= 0

    @torch.no_grad()
    def compare(epoch: Epoch) -> None:
        if not epoch.number:
            return
        phases.append(epoch.phase)
        model.eval()
        y = task.train.y.index_fill(0, model.base_rows, -1)
        values = model.solve(task.train.x) if epoch.phase == "gll" else None
        logits = model.linear(model.features(task.train.x))
        loss = functional.cross_entropy(logits, y, ignore_index=-1)
        assert epoch.curves["softmax_loss"] == pytest.approx(float(loss), rel=1e-6)
        result = accuracy(logits[known], task.validation.y[known])
        assert epoch.curves["softmax_validation_accuracy"] == result
        if values is not None:
            loss = -(values[y >= 0, y[y >= 0]] + 1e-8).log().mean()
            assert epoch.curves["gll_loss"] == pytest.approx(float(loss), rel=1e-6)
            result = accuracy(values[known], task.validation.y[known])
            assert epoch.curves["gll_validation_accuracy"] == result

    train(model, task, cell.budget, cell.seeds, observer=TrainingObserver(epoch=compare))
    assert phases == ["softmax", "softmax", "gll", "gll"]
    curves = run(cell).record.curves
    assert len(curves) == 6
    assert all(len(curve) == EPOCHS and None not in curve for curve in curves.values())
