"""Training goes through the phases of a model, minimises all terms, and stops at a divergence."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from expect_refusal import refused
from make_trainings import SEEDS, Noting, Parts, Phased, noise, state, trained
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets.base.task import Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model
from lapbench.training.steps import DivergedError, Recipe

SGD = Budget(epochs=5, batch_size=8, optimizer="sgd", learning_rate=0.05, weight_decay=0.1)
ADAM = replace(SGD, optimizer="adam", learning_rate=0.01)

PHASES: list[tuple[Parts, int]] = [("all", 1), ("head", 1), ("backbone", 2), ("head", 1)]


@pytest.mark.parametrize("budget", [SGD, ADAM], ids=["sgd", "adam"])
class TestPhases:
    def test_change_their_own_parameters_and_no_others(self, budget: Budget):
        """Also under weight decay, and with momentum from the phase before."""
        task = noise(images=True)
        model = Phased(task, PHASES)
        _, states = trained(model, task, budget)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        parts = [part for part, epochs in PHASES for _ in range(epochs)]
        for part, (before, after) in zip(parts, pairwise(states), strict=True):
            changed = {name for name in names.values() if not before[name].equal(after[name])}
            assert changed == {names[id(parameter)] for parameter in model.chosen(part)}

    def test_statistics_of_a_frozen_backbone_do_not_move(self, budget: Budget):
        task = noise(images=True)
        model = Phased(task, PHASES)
        _, states = trained(model, task, budget)
        parts = [part for part, epochs in PHASES for _ in range(epochs)]
        statistics = [name for name, _ in model.named_buffers() if "running" in name]
        assert len(statistics) == 10
        for part, (before, after) in zip(parts, pairwise(states), strict=True):
            still = [before[name].equal(after[name]) for name in statistics]
            assert all(still) if part == "head" else not any(still)


def test_statistics_of_layers_without_parameters_do_not_move_either():
    task = noise(images=False)
    model = Phased(task, [("head", 5)])
    model.backbone = nn.Sequential(model.backbone, nn.BatchNorm1d(4, affine=False).double())
    _, states = trained(model, task, SGD)
    assert states[0]["backbone.1.running_mean"].equal(states[-1]["backbone.1.running_mean"])


def by_hand(task: Task, budget: Budget, phases: Sequence[tuple[Parts, int]]) -> list[Tensor]:
    """Parameters after stochastic gradient descent on whole epochs, by its formulas."""
    model = Phased(task, phases)
    everything = list(model.parameters())
    for part, epochs in phases:
        parameters = model.chosen(part)
        momentum = [torch.zeros_like(parameter) for parameter in parameters]
        for epoch in range(epochs):
            rate = budget.learning_rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
            gradients = torch.autograd.grad(model.loss(task.train.x, task.train.y), parameters)
            for i, parameter in enumerate(parameters):
                pull = gradients[i] + budget.weight_decay * parameter.detach()
                momentum[i] = 0.9 * momentum[i] + pull
                parameter.data -= rate * momentum[i]
    return everything


def test_optimiser_and_schedule_start_anew_in_each_phase():
    task = noise(images=False)
    phases: list[tuple[Parts, int]] = [("all", 3), ("all", 2), ("head", 3)]
    budget = replace(SGD, epochs=8, batch_size=100, schedule="cosine")
    model = Phased(task, phases)
    trained(model, task, budget)
    for result, expected in zip(model.parameters(), by_hand(task, budget, phases), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def test_epochs_are_numbered_on_through_the_phases():
    """Phases without epochs are left out; each epoch has its own stream and order."""
    task = noise(images=False)
    model = Phased(task, [("all", 2), ("head", 0), ("backbone", 3)])
    epochs, _ = trained(model, task, SGD)
    assert [epoch.number for epoch in epochs] == [0, 1, 2, 3, 4, 5]
    assert [event for event in model.events if isinstance(event, str)] == ["all", "backbone"]
    draws = [event for event in model.events if isinstance(event, int)]
    assert model.events == ["all", *draws[:2], "backbone", *draws[2:]]
    assert draws == [int(SEEDS.stream("base", n).integers(2**62)) for n in range(1, 6)]
    orders = [tuple(torch.cat(batch)[:, 0].tolist()) for batch in grouped(model.batches, 3)]
    assert len(orders) == len(set(orders)) == 5


def grouped(batches: list[Tensor], size: int) -> list[list[Tensor]]:
    return [batches[i : i + size] for i in range(0, len(batches), size)]


@pytest.mark.parametrize("epochs", [[2], [3, 3], [0], [0, 0]])
def test_phases_that_do_not_add_up_are_an_error(epochs: list[int]):
    task = noise(images=False)
    model = Phased(task, [("all", count) for count in epochs])
    with refused(ValueError, f"{sum(epochs)} epochs", "5"):
        trained(model, task, SGD)
    assert not model.batches


def test_without_phases_the_model_stays_as_it_starts():
    task = noise(images=False)
    model = Phased(task, [])
    before = state(model)
    epochs, states = trained(model, task, SGD)
    assert [epoch.number for epoch in epochs] == [0]
    assert all(before[name].equal(states[-1][name]) for name in before)


class TestMiniBatches:
    def test_hold_every_row_of_known_class_once_an_epoch(self):
        task = noise(images=False, unknown=7)
        model = Phased(task, [("all", 5)])
        trained(model, task, SGD)
        for batches in grouped(model.batches, 2):
            assert [len(batch) for batch in batches] == [8, 5]
            assert sorted(torch.cat(batches).tolist()) == sorted(task.train.x[7:].tolist())

    @pytest.mark.parametrize("validation", [0, 6])
    def test_training_loss_is_their_mean_over_the_samples(self, validation: int):
        """One epoch that moves nothing; validation is measured where there is any."""
        task = noise(images=False, unknown=7, validation=validation)
        model = Phased(task, [("all", 1)])
        still = replace(SGD, epochs=1, learning_rate=1e-30, weight_decay=0.0)
        curves = trained(model, task, still)[0][-1].curves
        logits = model.linear(model.backbone(task.train.x[7:]))
        expected = functional.cross_entropy(logits, task.train.y[7:]).item()
        assert curves["training_loss"] == pytest.approx(expected, rel=1e-12)
        right = (model(task.validation.x).argmax(dim=1) == task.validation.y).double()
        assert curves.get("validation_accuracy") == (right.mean().item() if validation else None)
        assert set(curves) <= {"training_loss", "validation_accuracy"}


def squares(model: Model) -> Tensor:
    return torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum()


class TestTerms:
    def test_penalties_are_added_to_the_loss(self):
        """Two of 0.02‖w‖² and 0.03‖w‖² are a weight decay of 0.1."""
        task = noise(images=False)
        terms = [Noting(lambda m, x, p, share=s: share * squares(m)) for s in (0.02, 0.03)]
        result, expected = Phased(task, [("all", 5)]), Phased(task, [("all", 5)])
        epochs, states = trained(
            result, task, replace(SGD, weight_decay=0.0, batch_size=100), Recipe(terms)
        )
        decayed, _ = trained(expected, task, replace(SGD, batch_size=100))
        for one, other in zip(result.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        for number in range(1, 6):
            weights = [states[number - 1][name] for name, _ in result.named_parameters()]
            penalty = 0.05 * sum(float((w**2).sum()) for w in weights)
            loss = decayed[number].curves["training_loss"] + penalty
            assert epochs[number].curves["training_loss"] == pytest.approx(loss, rel=1e-10)

    def test_are_told_the_progress_and_act_after_each_step(self):
        task = noise(images=False)
        term = Noting(lambda model, x, progress: x.new_zeros(()))
        trained(Phased(task, [("all", 2), ("head", 3)]), task, SGD, Recipe([term]))
        expected = [
            call
            for epoch in range(5)
            for call in [("penalty", pytest.approx(epoch / 5)), ("after_step", None)] * 3
        ]
        assert term.calls == expected

    def test_after_step_follows_the_step_and_precedes_the_next(self):
        task = noise(images=False)
        seen: list[list[float]] = []

        def note(model: Model) -> None:
            seen.append([float(model.linear.bias.detach().abs().sum())])
            model.linear.bias.data.zero_()

        def penalise(model: Model, x: Tensor, progress: float) -> Tensor:  # noqa: ARG001
            seen[-1].append(float(model.linear.bias.detach().abs().sum()))
            return x.new_zeros(())

        model = Phased(task, [("all", 5)])
        seen.append([1.0])
        trained(model, task, SGD, Recipe([Noting(penalise, note)]))
        assert len(seen) == 16
        assert all(pair[0] > 0 for pair in seen)
        assert [pair[1] for pair in seen[1:-1]] == [0.0] * 14

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_penalty_that_is_no_number_is_a_divergence_with_epoch_and_phase(self, value: float):
        """The weights stay those of the last finite step, and trainable."""
        task = noise(images=False)
        model = Phased(task, [("all", 2), ("head", 3)])
        term = Noting(lambda m, x, progress: squares(m) * (value if progress > 0.5 else 0.0))
        with refused(DivergedError, "epoch 4 (", "head):", f"{value}"):
            trained(model, task, SGD, Recipe([term]))
        assert all(parameter.isfinite().all() for parameter in model.parameters())
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert len(term.calls) == 2 * 3 * 3 + 1


def test_images_are_augmented_in_each_batch_by_its_own_seed():
    """Anew in every epoch, and the same in every run."""
    task = noise(images=True)
    budget = replace(SGD, epochs=2, augmentation="crop-flip")
    seen = []
    for _ in range(2):
        model = Phased(task, [("all", 2)])
        trained(model, task, budget)
        seen.append([batch.numpy().tobytes() for batch in model.batches])
    first, again = seen
    assert first == again
    assert len(set(first)) == len(first) > 2
    originals = {x.numpy().tobytes() for x in task.train.x}
    size = task.train.x[0].numpy().nbytes
    images = [batch[i : i + size] for batch in first for i in range(0, len(batch), size)]
    assert sum(image in originals for image in images) < len(images) / 2


def test_a_single_last_sample_joins_the_batch_before():
    """Alone it has no variance for batch normalisation."""
    task = noise(images=True)
    model = Phased(task, [("all", 1)])
    trained(model, task, replace(SGD, epochs=1, batch_size=19))
    assert [len(batch) for batch in model.batches] == [20]
