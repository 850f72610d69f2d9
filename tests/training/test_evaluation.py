"""Metrics equal values computed by hand; training notices when it leaves the numbers."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from make_cells import small_cell
from torch import Tensor, nn

from lapbench.datasets.base.task import Split
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model
from lapbench.suite.components import Component
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train
from lapbench.training.metrics import accuracy, calibration_error, evaluate, predict
from lapbench.training.steps import DivergedError, make_optimizer, take_step


class Recorder(Model):
    """Predicts from x directly, and remembers the batches."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.batches: list[int] = []

    def outputs(self, features: Tensor) -> Tensor:
        return features

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return torch.log_softmax(x, dim=1)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        raise AssertionError("evaluation does not train")


def test_accuracy_by_hand():
    predicted = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]]).log()
    assert accuracy(predicted, torch.tensor([0, 0, 0])) == pytest.approx(2 / 3)


def test_calibration_error_by_hand():
    """Confidence 0.9 four times, three right: 0.15. Confidence 0.6 once, right: 0.4."""
    predicted = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]], dtype=torch.float64).log()
    result = calibration_error(predicted, torch.tensor([0, 0, 0, 1, 0]))
    assert result == pytest.approx((4 * 0.15 + 0.4) / 5)


def test_calibration_error_has_fifteen_bins():
    """0.94 and 0.99 share a fifteenth, where their gaps partly cancel; 0.72 and 0.74 do not."""
    confidence = torch.tensor([0.94, 0.99, 0.72, 0.74], dtype=torch.float64)
    predicted = torch.stack([confidence, 1 - confidence], dim=1).log()
    result = calibration_error(predicted, torch.tensor([1, 0, 1, 0]))
    assert result == pytest.approx((abs(-0.94 + 0.01) + 0.72 + 0.26) / 4)


def test_certain_and_right_is_calibrated():
    predicted = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).log()
    assert calibration_error(predicted, torch.tensor([0, 1])) == 0


def test_negative_log_likelihood_by_hand():
    split = Split(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))
    metrics = {metric.metric: metric for metric in evaluate(Recorder(), split, "test", 4)}
    assert metrics["negative_log_likelihood"].value == pytest.approx(0.693147, abs=1e-6)
    assert all(metric.count == 4 and metric.split == "test" for metric in metrics.values())


def test_prediction_runs_in_fixed_batches():
    model = Recorder()
    predict(model, torch.zeros(7, 2), 3)
    assert model.batches == [3, 3, 1]


@pytest.mark.parametrize("method", ["softmax", "gll"])
def test_divergence_names_epoch_and_remedy(method: str):
    cell = small_cell(method)
    task = cell.load_task()
    model = cell.build_model(task)
    budget = Budget(epochs=5, batch_size=10, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"epoch \d+.*learning rate"):
        train(model, task, budget, cell.seeds)


def test_cosine_schedule_ends_near_zero(monkeypatch: pytest.MonkeyPatch):
    rates: list[float] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam,
        "step",
        lambda self, *a, **k: (rates.append(self.param_groups[0]["lr"]), step(self, *a, **k))[1],
    )
    cell = small_cell("softmax")
    task = cell.load_task()
    budget = Budget(epochs=4, batch_size=100, learning_rate=0.1, schedule="cosine")
    train(cell.build_model(task), task, budget, cell.seeds)
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], rel=1e-5)


def test_validation_does_not_influence_training():
    """Other validation data leave the weights as they are."""
    cell = small_cell("gll")
    states = []
    for flip in (False, True):
        task = cell.load_task()
        if flip:
            task.validation.x.mul_(-1)
        model = cell.build_model(task)
        train(model, task, cell.budget, cell.seeds)
        states.append(list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_without_epochs_the_model_stays_as_it_starts(schedule: Literal["constant", "cosine"]):
    cell = small_cell("gll")
    task = cell.load_task()
    model = cell.build_model(task)
    before = [parameter.clone() for parameter in model.parameters()]
    observed: list[Epoch] = []
    budget = Budget(epochs=0, schedule=schedule)
    train(model, task, budget, cell.seeds, observer=TrainingObserver(epoch=observed.append))
    assert [epoch.number for epoch in observed] == [0]
    assert len(observed[0].held_out) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_model_without_parameters_goes_through_the_epochs(optimizer: Literal["adam", "sgd"]):
    cell = replace(small_cell("gll"), backbone=Component("identity", {}))
    task = cell.load_task()
    model = cell.build_model(task)
    assert not list(model.parameters())
    observed: list[Epoch] = []
    budget = Budget(epochs=2, optimizer=optimizer)
    train(model, task, budget, cell.seeds, observer=TrainingObserver(epoch=observed.append))
    assert [epoch.number for epoch in observed] == [0, 1, 2]
    assert observed[-1].curves["validation_accuracy"] > 0.6


def test_loss_that_reaches_no_parameter_is_an_error():
    cell = small_cell("softmax")
    task = cell.load_task()
    model = cell.build_model(task)
    model.loss = lambda x, y: torch.zeros(())  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="does not require grad"):
        take_step(
            model, make_optimizer(list(model.parameters()), cell.budget), task.train.x, task.train.y
        )
