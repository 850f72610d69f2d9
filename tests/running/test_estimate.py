"""How long a cell takes is told from a few steps, predictions and gradients."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from table import BUDGET, small_cell
from torch import Tensor, nn

from lapbench.datasets.base.task import Task
from lapbench.measure.probe import distinct_phases
from lapbench.methods.base.capabilities import finish, start_epoch, start_phase
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.methods.softmax import LinearModel
from lapbench.robustness.assess import assess_cell
from lapbench.running.api import RunOptions, prepare
from lapbench.running.estimate import Estimate, estimate, kind_of, measuring, total_seconds
from lapbench.running.estimate_attacks import attack_seconds
from lapbench.suite.cells import Cell, PlannedAttack, Robustness
from lapbench.suite.components import Component, Method
from lapbench.training.simclr import SimCLR


class FakeClock:
    """Seconds that pass where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(Term):
    """Takes so many seconds of a clock in a step, by the model."""

    def __init__(self, clock: FakeClock, seconds: Callable[[Model], float]) -> None:
        self.clock, self.seconds = clock, seconds

    def penalty(self, model: Model, x: Tensor, y: Tensor, progress: float) -> Tensor:  # noqa: ARG002
        self.clock.now += self.seconds(model)
        return x.new_zeros(())


@pytest.fixture
def slow_predictions(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock on which every prediction of softmax takes a second, and nothing else any."""
    clock, forward = FakeClock(), LinearModel.forward

    def slow(self: LinearModel, x: Tensor) -> Tensor:
        clock.now += 1
        return forward(self, x)

    monkeypatch.setattr(LinearModel, "forward", slow)
    return clock


def untrained(cell: Cell) -> tuple[Model, Task]:
    task = cell.load_task()
    model = cell.build_model(task)
    finish(model, task, cell.seeds.stream("finish"))
    return model, task


def robust(*attacks: PlannedAttack) -> Cell:
    about = Robustness(list(attacks), epsilon=0.2, samples=20)
    return replace(small_cell("softmax"), robustness=about)


def plan(name: str, **options: Any) -> PlannedAttack:
    return PlannedAttack(name, Component(name, options))


@pytest.mark.parametrize("case", ["two batches", "one batch", "nodes"])
@pytest.mark.parametrize(
    "attacks",
    [
        [plan("fgsm", epsilons=[0.1, 0.3])],
        [plan("pgd", epsilons=[0.1, 0.2], steps=[2, 4], restarts=2)],
        [plan("pgd", epsilons=[0.4], norm="l2", steps=[3]), plan("fgsm", epsilons=[0.1])],
        [plan("transfer", epsilons=[0.1], steps=[3])],
        [plan("gaussian-noise", snrs=[10.0], draws=4), plan("weight-quantization")],
    ],
)
def test_attacks_take_what_they_and_the_harness_predict(
    slow_predictions: FakeClock, attacks: list[PlannedAttack], case: str
):
    cell, batch_size = robust(*attacks), 10 if case == "two batches" else 500
    cell = replace(cell, evaluation=replace(cell.evaluation, batch_size=batch_size))
    if case == "nodes":
        cell = replace(cell, dataset=Component("karate", {}))
    model, task = untrained(cell)
    other, _ = untrained(cell)
    said, is_limit = attack_seconds(cell, model, task, lambda _: other, measuring(slow_predictions))
    assert not is_limit
    before = slow_predictions.now
    assert cell.robustness is not None
    found = assess_cell(cell, cell.robustness, model, task, lambda _: other, lambda _: None)
    assert {run.status for run in found.runs} == {"ok"}
    # The features of the training samples, for the nearest ones, are no prediction.
    chance = attacks[0].attack.name == "gaussian-noise"
    nearest = 0 if chance or case == "nodes" else len(task.train)
    taken = slow_predictions.now - before
    assert said == pytest.approx(taken + nearest / min(batch_size, 20))


def test_attack_that_does_not_apply_costs_nothing(slow_predictions: FakeClock):
    model, task = untrained(small_cell("softmax"))
    seconds = [
        attack_seconds(robust(*attacks), model, task, str, measuring(slow_predictions))[0]
        for attacks in (
            [plan("fgsm", epsilons=[0.1])],
            [plan("fgsm", epsilons=[0.1]), plan("cw-strong")],
        )
    ]
    assert seconds[0] == seconds[1]


def test_phases_count_by_their_epochs_and_steps(monkeypatch: pytest.MonkeyPatch):
    clock, by_phase = FakeClock(), {"softmax": 2.0, "gll": 5.0}
    term = Slow(clock, lambda model: by_phase[model.classifier])
    monkeypatch.setattr(
        Method, "create_terms", lambda self: [term] if self.head.name == "gll" else []
    )
    cell = small_cell("gll", softmax_share=0.3)
    cell = replace(cell, budget=replace(BUDGET, epochs=10, batch_size=30))
    task = cell.load_task()
    model = cell.build_model(task)
    expected = 0.0
    for phases in distinct_phases(model, cell.budget):
        start_phase(model, phases[0])
        held_out = start_epoch(model, task, cell.seeds.stream("base", 1))
        steps = (len(task.train) - len(held_out)) / 30
        # Two steps more find the memory of a step.
        epochs = sum(phase.budget.epochs for phase in phases)
        expected += by_phase[phases[0].name] * (epochs * steps + 2)
    assert estimate(cell, {}, clock).training == pytest.approx(expected)


def test_pretraining_counts_by_its_epochs_and_images(monkeypatch: pytest.MonkeyPatch):
    clock = FakeClock()

    def slow(_: nn.Module, task: Task, simclr: SimCLR, *__: object) -> None:
        assert (len(task.train), simclr.epochs) == (50, 1)
        clock.now += 1

    monkeypatch.setattr("lapbench.running.estimate.pretrain", slow)
    cell = replace(small_cell("softmax"), simclr=SimCLR(epochs=3, batch_size=50))
    cell = replace(cell, dataset=Component("digits", {}), backbone=Component("small_cnn", {}))
    found = estimate(cell, {}, clock)
    assert found.pretraining == pytest.approx(3 * len(cell.load_task().train) / 50)
    assert found.seconds == found.pretraining


def calls(clock: FakeClock, *seconds: float) -> tuple[Callable[[], None], list[float]]:
    """What takes so many seconds one call after the other, and the times that are left."""
    left = list(seconds)

    def call() -> None:
        clock.now += left.pop(0)

    return call, left


@pytest.mark.parametrize(
    ("seconds", "found", "made"),
    [
        ([8.0, 0.1, 0.3, 0.2, 0.9], 0.2, 4),
        ([1.0, 1.5, 1.6, 9.0], 1.55, 3),
        ([3.0, 3.0, 3.0], 3.0, 2),
        ([11.0, 9.0], 11.0, 1),
    ],
)
def test_call_is_measured_after_a_warm_up_and_less_often_if_slow(
    seconds: list[float], found: float, made: int
):
    clock = FakeClock()
    call, left = calls(clock, *seconds)
    assert measuring(clock)(call) == pytest.approx(found)
    assert len(seconds) - len(left) == made


def test_after_ten_seconds_one_call_counts():
    clock = FakeClock()
    measure = measuring(clock)
    measure(calls(clock, 6.0, 6.0)[0])
    assert measure(calls(clock, 0.5)[0]) == pytest.approx(0.5)


def test_repetitions_and_learning_rates_cost_the_same_and_epochs_do_not():
    cell = replace(small_cell("gll"), sources={"softmax": "0123456789abcdef"})
    budget = replace(cell.budget, learning_rate=0.5, schedule="cosine")
    again = replace(cell, repetition=3, sources={"softmax": "f" * 16}, budget=budget)
    assert kind_of(again) == kind_of(cell)
    for other in (
        replace(cell, budget=replace(cell.budget, epochs=5)),
        replace(cell, sources={}),
        small_cell("gll", k=7),
    ):
        assert kind_of(other) != kind_of(cell)


def test_total_is_divided_by_the_jobs_and_no_less_than_the_longest():
    estimates = [Estimate(60.0, 30.0), Estimate(80.0), Estimate(unknown="why")]
    assert total_seconds(estimates, 1) == 170
    assert total_seconds(estimates, 2) == 90
    assert total_seconds([], 2) == 0


def test_estimate_of_training_against_attacks_leaves_no_trace(tmp_path: Path, tiny_suite: Path):
    tiny_suite.write_text(
        tiny_suite.read_text().replace('["softmax", "gll"]', '["wnll + sparse_manifold"]')
        + '[robustness]\nepsilon = 0.1\n[[robustness.attacks]]\nname = "fgsm"\nepsilons = [0.1]\n'
    )
    job = prepare(tiny_suite, RunOptions(results=tmp_path / "r"))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = estimate(job.missing[0].cell, {})
    assert not found.unknown
    assert min(found.training, found.attacks) > 0
    assert torch.get_rng_state().equal(state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not (tmp_path / "r").exists()
