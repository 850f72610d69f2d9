"""What every method must do, over all that are discovered."""

import io
import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from make_cells import METHODS, in_training, load, small_cell, trained

from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import phases_of
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import GradientKind
from lapbench.training.metrics import accuracy, predict

HEADS = [name for name in METHODS if issubclass(load("methods", name), Head)]
ALONE = [name for name in HEADS if not load("methods", name).batch_dependent]
TOGETHER = [name for name in HEADS if name not in ALONE]


def test_both_kinds_of_prediction_are_there():
    assert ALONE
    assert TOGETHER


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    def test_gradient_kind_and_versions_are_stated(self, method: str):
        cell = small_cell(method).method
        assert cell.create_head().gradient_kind in get_args(GradientKind)
        assert all(
            isinstance(part.version, int) for part in (cell.create_head(), *cell.create_terms())
        )

    def test_skip_gives_a_reason_or_none(self, method: str):
        cell = small_cell(method)
        model, task, _ = in_training(cell)
        reasons = [cell.method.create_head().skip(task)]
        reasons += [term.skip(model) for term in cell.method.create_terms()]
        assert all(reason is None or len(reason) > 10 for reason in reasons)

    def test_phases_take_the_whole_budget(self, method: str):
        cell = small_cell(method)
        phases = phases_of(cell.build_model(cell.load_task()), cell.budget)
        assert sum(phase.budget.epochs for phase in phases) == cell.budget.epochs

    def test_prediction_is_log_probabilities_differentiable_in_x(self, method: str):
        model, task, _ = trained(small_cell(method))
        x = task.test.x.clone().requires_grad_()
        predicted = model(x)
        assert predicted.shape == (len(task.test), task.num_classes)
        torch.testing.assert_close(predicted.exp().sum(dim=1), torch.ones(len(x)))
        (gradient,) = torch.autograd.grad(predicted[:, 0].sum(), x)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0

    def test_outputs_are_one_row_a_sample(self, method: str):
        model, task, _ = trained(small_cell(method))
        outputs = model.outputs(model.features(task.test.x))
        assert outputs.shape == (len(task.test), task.num_classes)
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

    def test_loss_is_the_mean_over_the_known_labels(self, method: str):
        """Two masks that share the labels share the sum of the losses too."""
        model, task, rows = in_training(small_cell(method))
        x, y = task.train.x[rows], task.train.y[rows]
        first = torch.arange(len(y)) < 10
        parts = [model.loss(x, torch.where(known, y, -1)) for known in (first, ~first)]
        together = (10 * parts[0] + (len(y) - 10) * parts[1]) / len(y)
        torch.testing.assert_close(together, model.loss(x, y), atol=1e-5, rtol=1e-5)

    def test_loss_without_any_known_label_is_zero(self, method: str):
        cell = small_cell(method)
        model, task, rows = in_training(cell)
        x, y = task.train.x[rows], torch.full((len(rows),), -1)
        assert model.loss(x, y).item() == 0
        assert all(term.penalty(model, x, y, 0.5).isfinite() for term in cell.method.create_terms())

    def test_untrained_model_can_be_saved(self, method: str):
        cell = small_cell(method)
        assert cell.build_model(cell.load_task()).state_dict()

    def test_training_learns(self, method: str):
        budget = Budget(epochs=30, batch_size=50, learning_rate=0.01)
        model, task, curves = trained(replace(small_cell(method), budget=budget))
        assert [sorted(curve) for curve in curves] == 30 * [
            ["training_loss", "validation_accuracy"]
        ]
        assert accuracy(predict(model, task.test.x, 100), task.test.y) > 0.8

    def test_equal_seeds_give_equal_results(self, method: str):
        (one, task, first), (two, _, second) = (trained(small_cell(method)) for _ in range(2))
        assert first == second
        assert torch.equal(predict(one, task.test.x, 20), predict(two, task.test.x, 20))

    def test_saved_model_predicts_the_same_bit_for_bit(self, method: str):
        cell = small_cell(method)
        model, task, _ = trained(cell)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        copy = cell.build_model(task)
        copy.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(predict(copy, task.test.x, 20), predict(model, task.test.x, 20))


@pytest.mark.parametrize("method", ALONE)
def test_prediction_does_not_depend_on_the_batch(method: str):
    model, task, _ = trained(small_cell(method))
    one_by_one, together = (predict(model, task.test.x, size) for size in (1, len(task.test)))
    torch.testing.assert_close(one_by_one, together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", TOGETHER)
def test_methods_that_say_so_do_depend_on_the_batch(method: str):
    model, task, _ = trained(small_cell(method))
    one_by_one, together = (predict(model, task.test.x, size) for size in (1, len(task.test)))
    assert (one_by_one - together).abs().max() > 1e-4
