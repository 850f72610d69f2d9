"""What every method must do on vectors and on the nodes of a graph, over all discovered ones."""

import math
from dataclasses import replace
from functools import cache
from typing import Any, get_args

import pytest
import torch
from make_cells import (
    EPOCHS,
    METHODS,
    in_training,
    load,
    loaded,
    metrics,
    node_cell,
    outcome,
    prediction,
    run,
    small_cell,
    trained,
)

from lapbench.datasets.base.task import Split
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import phases_of
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import GradientKind
from lapbench.suite.cells import Cell
from lapbench.training.metrics import accuracy, predict

HEADS = [name for name in METHODS if issubclass(load("methods", name), Head)]
CELLS = {"vectors": small_cell, "nodes": node_cell}


@cache
def trained_once(method: str, kind: str = "vectors") -> Any:
    """A trained model, its task and its curves; tests only read them."""
    return trained(CELLS[kind](method))


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    def test_states_its_gradient_kind_versions_and_reasons_to_skip(self, method: str):
        cell = small_cell(method)
        head, terms = cell.method.create_head(), cell.method.create_terms()
        model, task, _ = trained_once(method)
        assert head.gradient_kind in get_args(GradientKind)
        assert all(isinstance(part.version, int) for part in (head, *terms))
        reasons = [head.skip(task), *(term.skip(model) for term in terms)]
        assert all(reason is None or len(reason) > 10 for reason in reasons)

    def test_untrained_can_be_saved_and_has_phases_for_the_whole_budget(self, method: str):
        cell = small_cell(method)
        model = cell.build_model(cell.load_task())
        assert model.state_dict()
        phases = phases_of(model, cell.budget)
        assert sum(phase.budget.epochs for phase in phases) == cell.budget.epochs

    @pytest.mark.parametrize("kind", CELLS)
    def test_prediction_is_log_probabilities_differentiable_in_x(self, method: str, kind: str):
        model, task, _ = trained_once(method, kind)
        x = task.test.x.clone().requires_grad_()
        predicted = model(x)
        assert predicted.shape == (len(task.test), task.num_classes)
        torch.testing.assert_close(predicted.exp().sum(dim=1), torch.ones(len(x)))
        torch.testing.assert_close(predicted, model(task.test.x), atol=1e-5, rtol=1e-5)
        (gradient,) = torch.autograd.grad(predicted[:, 0].sum(), x)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
        outputs = model.outputs(model.features(task.test.x))
        assert outputs.shape == predicted.shape
        assert outputs.isfinite().all()

    def test_loss_is_finite_and_reaches_every_parameter(self, method: str):
        cell = small_cell(method)
        model, task, rows = in_training(cell)
        x, y = task.train.x[rows], task.train.y[rows]
        loss = model.loss(x, y)
        for term in cell.method.create_terms():
            penalty = term.penalty(model, x, y, 0.5)
            assert penalty.shape == ()
            loss = loss + penalty
        assert loss.shape == ()
        assert math.isfinite(loss.item())
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    def test_loss_is_the_mean_over_the_known_labels_and_zero_without_any(self, method: str):
        """Two masks that share the labels share the sum of the losses too."""
        cell = small_cell(method)
        model, task, rows = in_training(cell)
        x, y = task.train.x[rows], task.train.y[rows]
        first = torch.arange(len(y)) < 10
        parts = [model.loss(x, torch.where(known, y, -1)) for known in (first, ~first)]
        together = (10 * parts[0] + (len(y) - 10) * parts[1]) / len(y)
        torch.testing.assert_close(together, model.loss(x, y), atol=1e-5, rtol=1e-5)
        unknown = torch.full_like(y, -1)
        assert model.loss(x, unknown).item() == 0
        for term in cell.method.create_terms():
            assert term.penalty(model, x, unknown, 0.5).isfinite()

    def test_training_learns(self, method: str):
        budget = Budget(epochs=30, batch_size=50, learning_rate=0.01)
        model, task, curves = trained(replace(small_cell(method), budget=budget))
        assert [sorted(curve) for curve in curves] == 30 * [
            ["training_loss", "validation_accuracy"]
        ]
        assert accuracy(predict(model, task.test.x, 100), task.test.y) > 0.8

    def test_equal_seeds_give_equal_results(self, method: str):
        (one, task, first), (two, _, second) = trained_once(method), trained(small_cell(method))
        assert first == second
        assert torch.equal(predict(one, task.test.x, 20), predict(two, task.test.x, 20))

    @pytest.mark.parametrize("kind", CELLS)
    def test_saved_model_predicts_the_same_bit_for_bit(self, method: str, kind: str):
        model, task, _ = trained_once(method, kind)
        copy, size = loaded(CELLS[kind](method), model.state_dict()), len(task.test)
        assert torch.equal(predict(copy, task.test.x, size), predict(model, task.test.x, size))


@pytest.mark.parametrize("method", HEADS)
def test_prediction_depends_on_the_batch_where_a_method_says_so(method: str):
    model, task, _ = trained_once(method)
    one_by_one, together = (predict(model, task.test.x, size) for size in (1, len(task.test)))
    difference = (one_by_one - together).abs().max()
    assert difference > 1e-4 if load("methods", method).batch_dependent else difference < 1e-5


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethodOnNodes:
    """It keeps to its splits, and predicts all nodes at once."""

    def test_ends_with_a_number_and_a_time_for_each_epoch(self, method: str):
        record = outcome(method).record
        assert (record.status, record.reason, record.warnings) == ("ok", None, [])
        assert set(record.curves) == {"training_loss", "validation_accuracy"}
        assert all(len(curve) == EPOCHS and None not in curve for curve in record.curves.values())
        assert record.timing is not None
        for seconds in (record.timing.step_seconds, record.timing.softmax_step_seconds):
            assert len(seconds) == EPOCHS - 1  # The first warms up.
            assert min(seconds) > 0

    def test_classes_that_are_not_of_training_play_no_part(
        self, method: str, monkeypatch: pytest.MonkeyPatch
    ):
        """Bilevel learning selects by validation, and may know the classes there."""
        usual, cell = outcome(method), node_cell(method)
        task = cell.load_task()
        for name in ["test"] if method == "bilevel" else ["validation", "test"]:
            y = getattr(task, name).y
            swapped = Split(task.train.x, torch.where(y >= 0, 1 - y, y))
            task = replace(task, **{name: swapped})
        monkeypatch.setattr(Cell, "load_task", lambda _: task)
        other = run(cell)
        assert other.record.curves["training_loss"] == usual.record.curves["training_loss"]
        assert prediction(other).equal(prediction(usual))
        both = [metrics(each)["accuracy"].value for each in (other, usual)]
        assert sum(both) == pytest.approx(1)

    def test_metrics_are_of_the_nodes_whose_class_the_split_tells(self, method: str):
        task: Any = node_cell(method).load_task()
        measured, predicted = metrics(outcome(method)), prediction(outcome(method))
        known = task.test.y >= 0
        of_outer = measured.pop("outer_accuracy")
        assert {measured.pop(f"first_step_{x}").split for x in ("loss", "length")} == {"train"}
        assert {(metric.split, metric.count) for metric in measured.values()} == {("test", 18)}
        assert measured["accuracy"].value == accuracy(predicted[known], task.test.y[known])
        assert (of_outer.split, of_outer.count) == ("outer", 4)
        assert of_outer.value == accuracy(predicted[task.outer], task.outer_labels)

    def test_equal_seeds_give_equal_results_whatever_the_evaluation_batch(self, method: str):
        """All nodes are one batch, in validation and on test."""
        cell = node_cell(method)
        again = run(replace(cell, evaluation=replace(cell.evaluation, batch_size=5)))
        assert again.record.metrics == outcome(method).record.metrics
        assert again.record.curves == outcome(method).record.curves
        assert prediction(again).equal(prediction(outcome(method)))

    def test_runs_where_few_nodes_keep_their_class(self, method: str):
        cell = replace(node_cell(method), labeled=6)
        everything, task = node_cell(method).load_task(), cell.load_task()
        known = task.train.y >= 0
        assert task.train.y[known].bincount().tolist() == [3, 3]
        assert task.train.y[known].equal(everything.train.y[known])
        assert task.train.x.equal(everything.train.x)
        assert run(cell).record.status == "ok"
