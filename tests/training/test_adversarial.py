"""The attack of adversarial training: its steps, its gradient, and what it leaves alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import oracle_wnll as dense_wnll
import pytest
import torch
from expect_refusal import refused
from make_cells import small_cell
from make_trainings import Phased, noise
from oracle_graph import dense_solution, dense_weights, finite_differences
from pydantic import ValidationError
from torch import Tensor, nn

from lapbench.datasets.base.task import Split
from lapbench.methods.base.capabilities import start_epoch
from lapbench.methods.base.model import Model
from lapbench.methods.graph import NonFiniteError
from lapbench.suite.components import Component
from lapbench.training.adversarial import AdversarialTraining, perturb
from lapbench.training.loop import train

HEADS = ["softmax", "svm", "gll", "wnll, linear branch", "wnll", "wnll, exact"]
ATTACK = AdversarialTraining(epsilon=0.3, step_size=0.1, steps=5)


@cache
def shared(name: str) -> tuple[Any, Split]:
    """A model trained on two overlapping moons, in float64, and what it did not hold out."""
    head, _, branch = name.partition(", ")
    options: dict[str, dict[str, Any]] = {
        "gll": {"k": 8},
        "wnll": {"k": dense_wnll.NEIGHBORS, "bandwidth_rank": dense_wnll.RANK},
        "wnll, exact": {"k": 6, "bandwidth_rank": 3, "gradient": "exact"},
    }
    cell = small_cell(head, **options.get(name, options.get(head, {})))
    cell = replace(cell, dataset=Component("two_moons", {"samples": 160, "noise": 0.4}))
    task = cell.load_task()
    model: Any = cell.build_model(task)
    budget = replace(cell.budget, epochs=40, learning_rate=0.01)
    train(model, task, budget, cell.seeds)
    held_out = start_epoch(model, task, cell.seeds.stream("base", 41))
    if branch == "linear branch":
        model.branch = "linear"
    for split in ("base", "template"):
        if hasattr(model, split):
            setattr(model, split, double(getattr(model, split)))
    rest = torch.ones(len(task.train), dtype=torch.bool)
    rest[held_out] = False
    return model.double(), double(Split(task.train.x[rest], task.train.y[rest]))


def double(split: Split) -> Split:
    return Split(split.x.double(), split.y)


def attacked(
    model: Model,
    split: Split,
    pgd: AdversarialTraining = ATTACK,
    bounds: tuple[float, float] | None = None,
) -> Tensor:
    """Inputs after the attack with the random numbers of seed 0."""
    torch.manual_seed(0)
    return perturb(model, split.x, split.y, pgd, bounds)


def starts(model: Model, split: Split) -> Tensor:
    """Where the attack starts: after a step of no length."""
    return attacked(model, split, replace(ATTACK, steps=1, step_size=1e-300))


@pytest.mark.parametrize("name", HEADS)
class TestEveryHead:
    def test_stays_in_the_ball(self, name: str):
        model, split = shared(name)
        moved = attacked(model, split)
        assert (moved - split.x).abs().max() <= ATTACK.epsilon * (1 + 1e-12)

    def test_stays_in_the_bounds(self, name: str):
        model, split = shared(name)
        inside = Split(split.x.clamp(-0.5, 0.8), split.y)
        moved = attacked(model, inside, bounds=(-0.5, 0.8))
        assert (moved - inside.x).abs().max() <= ATTACK.epsilon * (1 + 1e-12)
        assert moved.min() >= -0.5
        assert moved.max() <= 0.8
        assert ((moved == -0.5) | (moved == 0.8)).any()

    def test_raises_the_loss(self, name: str):
        """Above that of the inputs, and of the random start."""
        model, split = shared(name)
        moved = model.loss(attacked(model, split), split.y)
        assert moved > 1.02 * model.loss(split.x, split.y)
        assert moved > 1.02 * model.loss(starts(model, split), split.y)

    def test_depends_on_the_seed_of_torch_alone(self, name: str):
        model, split = shared(name)
        first, again = attacked(model, split), attacked(model, split)
        assert first.equal(again)
        assert not first.equal(perturb(model, split.x, split.y, ATTACK, None))

    def test_leaves_gradients_and_inputs_alone(self, name: str):
        model, split = shared(name)
        before, weights = split.x.clone(), [p.clone() for p in model.parameters()]
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 7.0)
        moved = attacked(model, split)
        assert all((parameter.grad == 7).all() for parameter in model.parameters())
        assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert split.x.equal(before)
        assert not split.x.requires_grad
        assert not moved.requires_grad
        model.zero_grad(set_to_none=True)
        attacked(model, split)
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_first_step_follows_the_sign_of_an_independent_gradient(self, name: str):
        model, split = shared(name)
        few = Split(split.x[::8], split.y[::8])
        begin = starts(model, few)
        gradient = finite_differences(loss_by_hand(name, model, begin, few.y), begin, h=1e-5)
        clear = (begin - few.x).abs() < ATTACK.epsilon - 2e-3
        clear &= gradient.abs() > 1e-6 * gradient.abs().max()
        assert clear.sum() >= 8
        step = attacked(model, few, replace(ATTACK, step_size=1e-3, steps=1)) - begin
        torch.testing.assert_close(step[clear], 1e-3 * gradient.sign()[clear], rtol=1e-9, atol=0)


def loss_by_hand(name: str, model: Any, begin: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """A function of inputs that has the gradient of the attack at ``begin``."""
    one_hot = torch.eye(2, dtype=torch.float64)

    @torch.no_grad()
    def loss(x: Tensor) -> Tensor:
        features = model.features(x)
        if name == "gll":
            everything = torch.cat([model.features(model.base.x), features])
            weights = dense_weights(everything, 8, "self-tuning")
            values = dense_solution(weights, one_hot[model.base.y], 0.0)
            return -(values[torch.arange(len(y)), y] + 1e-8).log().mean()
        if name == "wnll":
            return (pulled * features).sum()
        if name == "wnll, exact":
            return dense_wnll.dense_loss(interpolated(x), y)
        scores = model.linear(features)
        if name == "svm":
            margins = 1 - scores[torch.arange(len(y)), y, None] + scores
            return (margins.clamp_min(0) * (1 - one_hot[y])).sum(dim=1).mean() / 2
        return dense_wnll.dense_loss(scores, y)

    def interpolated(x: Tensor) -> Tensor:
        return dense_wnll.values_of(model, x, model.template)[:, :2]

    if name == "wnll":
        values = interpolated(begin).exp()
        share = values / values.sum(dim=1, keepdim=True)
        pulled = (share - one_hot[y]) / len(y) @ model.linear.weight.detach()
    return loss


class TestModes:
    """On a network with batch normalisation, a part of which is frozen."""

    def model(self) -> tuple[Phased, Split, dict[nn.Module, bool]]:
        task = noise(images=True)
        model = Phased(task, [("all", 1)])
        model.train()
        next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d)).eval()
        return model, task.train, {module: module.training for module in model.modules()}

    def test_are_restored_and_statistics_do_not_move(self):
        model, split, modes = self.model()
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        attacked(model, split)
        assert {module: module.training for module in model.modules()} == modes
        assert all(buffer.equal(before[name]) for name, buffer in model.named_buffers())

    def test_are_those_of_evaluation_in_the_attack(self):
        model, split, _ = self.model()
        seen = []
        loss = model.loss

        def spy(x: Tensor, y: Tensor) -> Tensor:
            seen.append({module.training for module in model.modules()})
            return loss(x, y)

        model.loss = spy  # type: ignore[method-assign]
        attacked(model, split)
        assert seen == [{False}] * ATTACK.steps

    def test_are_restored_after_an_error(self):
        model, split, modes = self.model()

        def fail(*_: Tensor) -> Tensor:
            raise NonFiniteError("a feature is NaN")

        model.loss = fail  # type: ignore[method-assign]
        with pytest.raises(NonFiniteError):
            attacked(model, split)
        assert {module: module.training for module in model.modules()} == modes


def test_start_is_uniform_in_the_ball():
    model = Phased(noise(images=False), [])
    split = Split(torch.zeros(4000, 3, dtype=torch.float64), torch.zeros(4000, dtype=torch.int64))
    sorted_starts = starts(model, split).flatten().sort().values
    uniform = torch.linspace(-0.3, 0.3, 12000, dtype=torch.float64)
    assert (sorted_starts - uniform).abs().max() < 0.6 * 2 / 12000**0.5


def test_inputs_leave_a_range_that_is_not_given_as_bounds():
    model = Phased(noise(images=False), [])
    bits = torch.arange(24, dtype=torch.float64).reshape(8, 3) % 2
    split = Split(bits, torch.zeros(8, dtype=torch.int64))
    moved = attacked(model, split)
    assert moved.min() < -0.2
    assert moved.max() > 1.2
    assert attacked(model, split, bounds=(0.0, 1.0)).equal(moved.clamp(0, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0.0, "step_size": 1.0},
        {"epsilon": 1.0, "step_size": -1.0},
        {"epsilon": float("inf"), "step_size": 1.0},
        {"epsilon": 1.0, "step_size": 1.0, "steps": 0},
        {"epsilon": 1.0},
    ],
)
def test_attack_that_makes_no_sense_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValidationError):
        AdversarialTraining(**wrong)


class TestNormalisedUnits:
    """As the GLL paper states ε and α: in standard deviations of the training inputs."""

    def test_are_those_of_the_input_times_the_deviation(self):
        model, split = shared("softmax")
        deviation = torch.full((1, 1), 0.25, dtype=torch.float64)
        normalised = AdversarialTraining(epsilon=0.4, step_size=0.1, steps=3, units="normalised")
        in_input = AdversarialTraining(epsilon=0.1, step_size=0.025, steps=3)
        moved = []
        for pgd in (normalised, in_input):
            torch.manual_seed(0)
            moved.append(perturb(model, split.x, split.y, pgd, None, deviation))
        torch.testing.assert_close(*moved, rtol=0, atol=1e-15)

    def test_are_of_each_coordinate_by_itself(self):
        model, split = shared("softmax")
        deviation = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
        pgd = AdversarialTraining(epsilon=0.1, step_size=0.1, steps=5, units="normalised")
        moved = (perturb(model, split.x, split.y, pgd, None, deviation) - split.x).abs()
        torch.testing.assert_close(moved.amax(dim=0), 0.1 * deviation[0])

    def test_need_the_deviation(self):
        model, split = shared("softmax")
        with refused(ValueError, "deviation: received None"):
            perturb(model, split.x, split.y, replace(ATTACK, units="normalised"), None)

    def test_are_those_of_the_data_set_in_training(self):
        cell = small_cell("softmax")
        pgd = replace(ATTACK, units="normalised")
        recipe = replace(cell, training="pgd", pgd=pgd).build_recipe(cell.load_task())
        x = cell.load_task().train.x
        assert recipe.deviation is not None
        torch.testing.assert_close(recipe.deviation[0], x.std(dim=0, correction=0))
