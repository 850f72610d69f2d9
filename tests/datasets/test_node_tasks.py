"""On the nodes of a graph every method keeps to its splits, and predicts all nodes at once."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from make_cells import (
    EPOCHS,
    METHODS,
    NODES,
    loaded,
    metrics,
    node_cell,
    outcome,
    prediction,
    run,
    trained,
)
from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.suite.cells import Cell
from lapbench.training.metrics import accuracy


def with_labels(task: Task, **splits: Tensor) -> Task:
    """The task with other classes in some splits."""
    changed: dict[str, Any] = {name: Split(task.train.x, y) for name, y in splits.items()}
    return replace(task, **changed)


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    def test_ends_with_a_number_and_a_time_for_each_epoch(self, method: str):
        record = outcome(method).record
        assert (record.status, record.reason, record.warnings) == ("ok", None, [])
        assert set(record.curves) == {"training_loss", "validation_accuracy"}
        assert all(len(curve) == EPOCHS and None not in curve for curve in record.curves.values())
        assert record.timing is not None
        for seconds in (record.timing.step_seconds, record.timing.softmax_step_seconds):
            assert len(seconds) == EPOCHS - 1  # The first warms up.
            assert min(seconds) > 0

    def test_prediction_is_log_probabilities_of_all_nodes_differentiable_in_x(self, method: str):
        model, task, _ = trained(node_cell(method))
        x = task.test.x.clone().requires_grad_()
        predicted = model(x)
        assert predicted.shape == (NODES, 2)
        torch.testing.assert_close(predicted.exp().sum(dim=1), torch.ones(NODES))
        torch.testing.assert_close(predicted, model(task.test.x), atol=1e-5, rtol=1e-5)
        (gradient,) = torch.autograd.grad(predicted[:, 0].sum(), x)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0

    def test_classes_that_are_not_of_training_play_no_part(
        self, method: str, monkeypatch: pytest.MonkeyPatch
    ):
        """Bilevel learning selects by validation, and may know the classes there."""
        usual, cell = outcome(method), node_cell(method)
        task = cell.load_task()
        hidden = ["test"] if method == "bilevel" else ["validation", "test"]
        before = {name: getattr(task, name).y for name in hidden}
        swapped = {name: torch.where(y >= 0, 1 - y, y) for name, y in before.items()}
        monkeypatch.setattr(Cell, "load_task", lambda _: with_labels(task, **swapped))
        other = run(cell)
        assert other.record.curves["training_loss"] == usual.record.curves["training_loss"]
        assert prediction(other).equal(prediction(usual))
        both = [metrics(found)["accuracy"].value for found in (other, usual)]
        assert sum(both) == pytest.approx(1)

    def test_metrics_are_of_the_nodes_whose_class_the_split_tells(self, method: str):
        task, found = node_cell(method).load_task(), metrics(outcome(method))
        predicted = prediction(outcome(method))
        known = task.test.y >= 0
        of_outer = found.pop("outer_accuracy")
        assert {found.pop(f"first_step_{each}").split for each in ("loss", "length")} == {"train"}
        assert {(metric.split, metric.count) for metric in found.values()} == {("test", 18)}
        assert found["accuracy"].value == accuracy(predicted[known], task.test.y[known])
        assert (of_outer.split, of_outer.count) == ("outer", 4)
        assert task.outer is not None
        assert task.outer_labels is not None
        assert of_outer.value == accuracy(predicted[task.outer], task.outer_labels)

    def test_equal_seeds_give_equal_results_whatever_the_evaluation_batch(self, method: str):
        """All nodes are one batch, in validation and on test."""
        cell = node_cell(method)
        again = run(replace(cell, evaluation=replace(cell.evaluation, batch_size=5)))
        assert again.record.metrics == outcome(method).record.metrics
        assert again.record.curves == outcome(method).record.curves
        assert prediction(again).equal(prediction(outcome(method)))

    def test_saved_model_predicts_the_same_bit_for_bit(self, method: str):
        model, task, _ = trained(node_cell(method))
        copy = loaded(node_cell(method), model.state_dict())
        assert copy(task.test.x).equal(model(task.test.x))

    def test_runs_where_few_nodes_keep_their_class(self, method: str):
        cell = replace(node_cell(method), labeled=6)
        everything, task = node_cell(method).load_task(), cell.load_task()
        known = task.train.y >= 0
        assert task.train.y[known].bincount().tolist() == [3, 3]
        assert task.train.y[known].equal(everything.train.y[known])
        assert task.train.x.equal(everything.train.x)
        assert run(cell).record.status == "ok"
