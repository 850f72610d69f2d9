"""WNLL: the phases of its training, and the templates that they hold out."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
import torch
from expect_refusal import refused
from oracle_wnll import CLASSES, blobs, build, partly_unknown, template_batches
from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import Phase
from lapbench.seeds import Seeds
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train

TASK = blobs()
BUDGET = Budget(epochs=10, batch_size=12, optimizer="sgd", learning_rate=0.05, weight_decay=1e-3)
OPTIONS = {"wnll_batch_size": 8, "wnll_learning_rate": 0.007}


def with_a_rare_class(known: int) -> Task:
    """The task with this many known samples of the last class."""
    y = TASK.train.y.clone()
    y[(y == CLASSES - 1).nonzero()[known:, 0]] = -1
    return replace(TASK, train=Split(TASK.train.x, y))


ROUNDS = pytest.mark.parametrize("rounds", [1, 2, 3])


class TestPhases:
    @ROUNDS
    def test_alternate_between_all_weights_and_the_buffer(self, rounds: int):
        model = build(TASK, rounds=rounds, **OPTIONS)
        phases = model.phases(BUDGET)
        expected = [set(model.parameters()), set(model.buffer.parameters())] * rounds
        assert [set(phase.parameters) for phase in phases] == expected

    @ROUNDS
    @pytest.mark.parametrize("epochs", [6, 7, 10, 100])
    def test_share_the_epochs(self, rounds: int, epochs: int):
        phases = build(TASK, rounds=rounds, wnll_share=0.4).phases(replace(BUDGET, epochs=epochs))
        assert sum(phase.budget.epochs for phase in phases) == epochs
        assert all(phase.budget.epochs >= 1 for phase in phases)
        if epochs == 100:
            assert sum(phase.budget.epochs for phase in phases[1::2]) == 40

    def test_have_their_own_batch_size_and_learning_rate(self):
        """The linear learning rate of the second round is one fifth of the first."""
        linear, wnll, second, _ = build(TASK, **OPTIONS).phases(BUDGET)
        assert linear.budget == replace(BUDGET, epochs=linear.budget.epochs)
        assert wnll.budget.batch_size == 8
        assert wnll.budget.learning_rate == 0.007
        assert second.budget.batch_size == BUDGET.batch_size
        assert second.budget.learning_rate == pytest.approx(0.01)

    @pytest.mark.parametrize(("rounds", "epochs"), [(2, 3), (2, 1), (3, 5), (1, 1)])
    def test_need_an_epoch_each(self, rounds: int, epochs: int):
        with refused(ValueError, "epochs: ", epochs, f"{2 * rounds} stages"):
            build(TASK, rounds=rounds).phases(replace(BUDGET, epochs=epochs))

    def test_are_none_without_rounds(self):
        assert not build(TASK, rounds=0).phases(BUDGET)


@dataclass
class Observed:
    """What happened in the epochs of a phase, the first epoch being what was before."""

    phase: Phase
    branch: str = ""
    weights: list[dict[str, Tensor]] = field(default_factory=list)
    held_out: list[Tensor] = field(default_factory=list)
    templates: list[Split] = field(default_factory=list)
    batches: list[list[Tensor]] = field(default_factory=list)

    def changed(self) -> set[str]:
        """Names of the parameters that the phase changed."""
        first, last = self.weights[0], self.weights[-1]
        return {name for name in first if not torch.equal(first[name], last[name])}


TASKS = {"known": TASK, "partly unknown": partly_unknown(TASK)}


@cache
def observe(name: str, gradient: str = "surrogate") -> tuple[Any, list[Observed]]:
    """A trained model, and its phases."""
    task = TASKS[name]
    model = build(task, wnll_share=0.6, gradient=gradient, **OPTIONS)
    phases = [Observed(phase) for phase in model.phases(BUDGET)]
    of_epoch = [phase for phase in phases for _ in range(phase.phase.budget.epochs)]
    seen: list[Tensor] = []
    loss = model.loss
    model.loss = lambda x, y: (seen.append(x), loss(x, y))[1]

    def on_epoch(epoch: Epoch) -> None:
        weights = {name: value.detach().clone() for name, value in model.named_parameters()}
        if epoch.number < len(of_epoch):
            of_epoch[epoch.number].weights.append(weights)
        if epoch.number:
            phase = of_epoch[epoch.number - 1]
            phase.branch = model.branch
            if epoch.number == len(of_epoch) or of_epoch[epoch.number] is not phase:
                phase.weights.append(weights)
            phase.held_out.append(epoch.held_out)
            phase.templates.append(model.template)
            assert not len(model.unlabeled)
            phase.batches.append(list(seen))
        seen.clear()

    train(model, task, BUDGET, Seeds("blobs", 0), observer=TrainingObserver(epoch=on_epoch))
    return model, phases


def rows_of(samples: Tensor, x: Tensor) -> set[int]:
    """Rows of x where the samples stand; all are there."""
    same = (samples[:, None] == x[None]).all(dim=2)
    assert same.any(dim=1).all()
    return set(same.nonzero()[:, 1].tolist())


@pytest.mark.parametrize("name", TASKS)
class TestTraining:
    @pytest.mark.parametrize("gradient", ["surrogate", "exact"])
    def test_changes_the_buffer_alone_in_the_wnll_phases(self, name: str, gradient: str):
        model, phases = observe(name, gradient)
        everything = {name for name, _ in model.named_parameters()}
        buffer = {name for name in everything if name.startswith("buffer.")}
        assert [phase.changed() for phase in phases] == [everything, buffer] * 2
        assert [phase.branch for phase in phases] == ["linear", "wnll"] * 2

    def test_holds_out_half_of_the_known_samples_in_the_wnll_phases(self, name: str):
        task = TASKS[name]
        known = set((task.train.y >= 0).nonzero()[:, 0].tolist())
        templates = []
        for phase in observe(name)[1][1::2]:
            chosen = [rows_of(template.x, task.train.x) for template in phase.templates]
            assert all(rows == chosen[0] for rows in chosen)
            assert chosen[0] <= known
            assert abs(len(chosen[0]) - len(known) / 2) <= CLASSES / 2
            template = phase.templates[0]
            assert len(template) == len(chosen[0])
            same = (template.x[:, None] == task.train.x[None]).all(dim=2)
            assert torch.equal(template.y, task.train.y[same.int().argmax(dim=1)])
            assert set(template.y.tolist()) == set(range(CLASSES))
            assert all(set(rows.tolist()) & known == chosen[0] for rows in phase.held_out)
            for batches in phase.batches:
                assert rows_of(torch.cat(batches), task.train.x) == known - chosen[0]
                assert max(map(len, batches)) == 8
            templates.append(chosen[0])
        assert templates[0] != templates[1]

    def test_sees_all_known_samples_in_the_linear_phases(self, name: str):
        task = TASKS[name]
        known = set((task.train.y >= 0).nonzero()[:, 0].tolist())
        for phase in observe(name)[1][::2]:
            for batches in phase.batches:
                assert rows_of(torch.cat(batches), task.train.x) == known
                assert max(map(len, batches)) == 12


class TestRareClasses:
    @pytest.mark.parametrize(("known", "size"), [(2, 500), (3, 500), (2, 4)])
    def test_are_in_every_template(self, known: int, size: int):
        task = with_a_rare_class(known)
        for repetition in range(20):
            seeds = Seeds("rare", repetition)
            model = build(task, template_batch_size=size)
            model.start_phase(model.phases(BUDGET)[1])
            held_out = model.start_epoch(task, seeds.stream("base", 1))
            assert set(model.template.y.tolist()) == set(range(CLASSES))
            assert set(task.train.y[held_out].tolist()) - {-1} == set(range(CLASSES))
        model.finish(task, seeds.stream("finish"))
        for batch in template_batches(model, TASK.test.x):
            assert set(batch.y.tolist()) == set(range(CLASSES))

    @pytest.mark.parametrize("rounds", [0, 2])
    def test_that_are_missing_are_refused(self, rounds: int):
        with refused(ValueError, "wnll: ", "class 2 of blobs", "0 labelled"):
            build(with_a_rare_class(0), rounds=rounds)
