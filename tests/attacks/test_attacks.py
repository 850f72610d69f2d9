"""What every attack must keep to, and what the attacks ask a trained model for."""

import random
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from make_attacks import (
    ATTACKS,
    CASES,
    HEADS,
    NEEDS_BOUNDS,
    attack,
    batch_of,
    candidates,
    linear_target,
    right,
    target_of,
    trained,
)
from make_cells import create
from oracle_graph import finite_differences, relative_error
from torch import Tensor
from torch.linalg import vector_norm

from lapbench.attacks.base.attack import BallAttack, Candidate
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split
from lapbench.methods.base.model import Model

RANDOM = {"pgd", "apgd-ce", "square", "transfer"}
EVERY = [
    pytest.param(case, head, data, id=f"{case} on {head}, {data}")
    for case in CASES
    for head, data in [*((head, "digits") for head in HEADS), ("softmax", "two_moons")]
    if "," not in case or head == "softmax"
    if data == "digits" or CASES[case][0] not in NEEDS_BOUNDS
]
every = pytest.mark.parametrize(("case", "head", "data"), EVERY)


@dataclass(frozen=True, eq=False)
class Run:
    """An attack, the batch it was given, what the model saw of it, and what it found."""

    target: Target
    batch: Split
    seen: list[Tensor]
    found: list[Candidate]
    before: list[Any]
    after: list[Any]


@cache
def run(case: str, head: str, data: str) -> Run:
    target = target_of(head, data)
    given = batch_of(target.task)
    batch, seen = Split(given.x.clone(), given.y.clone()), []
    # Made outside of the attack, so that what it embeds of its base set is not seen.
    source = target.source("softmax")
    target.source = lambda _: source  # type: ignore[method-assign]
    backbones = {trained(name, data)[0].backbone for name in (head, "softmax")}
    spies = [
        backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach().clone()))
        for backbone in backbones
    ]
    before = state(target.model)
    try:
        result = candidates(case, target, batch)
    finally:
        for spy in spies:
            spy.remove()
    assert batch.x.equal(given.x)
    assert batch.y.equal(given.y)
    return Run(target, given, seen, result, before, state(target.model))


def state(model: Model) -> list[Any]:
    """Parameters, their gradients, and modes."""
    parameters = [
        (p.tolist(), p.requires_grad, None if p.grad is None else p.grad.tolist())
        for p in model.parameters()
    ]
    return [parameters, [module.training for module in model.modules()]]


def test_every_attack_is_in_the_table():
    assert {name for name, _ in CASES.values()} == set(ATTACKS)


@every
class TestEveryAttack:
    def test_keeps_to_ball_and_bounds(self, case: str, head: str, data: str):
        ran, made = run(case, head, data), attack(case)
        x, bounds = ran.batch.x, ran.target.bounds
        for candidate in ran.found:
            assert candidate.x.shape == x.shape
            assert candidate.x.dtype == x.dtype
            assert candidate.x.isfinite().all()
            assert not candidate.x.requires_grad
            assert bounds is None or candidate.x.equal(candidate.x.clamp(*bounds))
            if isinstance(made, BallAttack):
                scale = ran.target.deviation if made.units == "normalised" else 1
                moved = ((candidate.x - x) / scale).flatten(1).double()
                order = torch.inf if made.norm == "linf" else 2
                assert vector_norm(moved, order, dim=1).max() <= candidate.level.value * (1 + 1e-5)

    def test_shows_the_model_whole_batches(self, case: str, head: str, data: str):
        """With each sample in its row, as those of unknown class tell."""
        ran = run(case, head, data)
        unknown = ran.batch.y < 0
        assert ran.seen
        for x in ran.seen:
            assert x.shape == ran.batch.x.shape
            assert x[unknown].equal(ran.batch.x[unknown])

    def test_leaves_samples_of_unknown_class_alone(self, case: str, head: str, data: str):
        ran = run(case, head, data)
        unknown = ran.batch.y < 0
        for candidate in ran.found:
            assert candidate.x[unknown].equal(ran.batch.x[unknown])

    def test_leaves_parameters_gradients_and_modes_alone(self, case: str, head: str, data: str):
        ran = run(case, head, data)
        assert ran.before == ran.after

    def test_depends_on_the_seed_of_torch_alone(self, case: str, head: str, data: str):
        first = [candidate.x for candidate in run(case, head, data).found]
        random.seed(7)
        np.random.seed(7)
        target = target_of(head, data)
        again = [result.x for result in candidates(case, target, batch_of(target.task))]
        assert all(a.equal(b) for a, b in zip(first, again, strict=True))

    def test_lowers_the_accuracy(self, case: str, head: str, data: str):
        ran = run(case, head, data)
        before = int(right(ran.target, ran.batch.x, ran.batch.y).sum())
        assert before >= 15
        assert int(right(ran.target, ran.found[-1].x, ran.batch.y).sum()) <= 0.8 * before


@pytest.mark.parametrize("case", [case for case in CASES if "," not in case])
def test_random_attacks_are_those_that_another_seed_changes(case: str):
    target = target_of("softmax")
    other = candidates(case, target, batch_of(target.task), seed=1)
    result = zip(run(case, "softmax", "digits").found, other, strict=True)
    assert all(a.x.equal(b.x) for a, b in result) == (case not in RANDOM)


@pytest.mark.parametrize("case", [case for case in CASES if "," not in case])
def test_every_attack_works_in_float64(case: str):
    target, batch = linear_target(classes=4, size=12, bounds=(0.0, 1.0))
    target.source = lambda _: target  # type: ignore[method-assign]
    for candidate in candidates(case, target, batch):
        assert candidate.x.dtype == torch.float64
    assert right(target, candidate.x, batch.y).float().mean() < 1


class TestTargets:
    """What the attacks ask a target for."""

    def test_gradient_over_base_sets_is_the_mean_of_single_ones(self):
        target, seeds = target_of("gll"), trained("gll")[2]
        batch, single = batch_of(target.task), []
        others = [
            target.model.with_resampled_base_set(target.task, seeds.stream("base sets", number))
            for number in range(2)
        ]
        for model in (target.model, *others):
            assert model is not None
            x = batch.x.clone().requires_grad_()
            known = batch.y >= 0
            loss = -model(x)[known, batch.y[known]].sum()
            single += torch.autograd.grad(loss, x)
        expected = torch.stack(single).mean(dim=0)
        expected[batch.y < 0] = 0
        result = target.gradient(batch.x, batch.y, base_sets=3)
        assert relative_error(result, expected) < 1e-4
        assert relative_error(target.gradient(batch.x, batch.y), expected) > 0.1

    def test_base_sets_change_what_pgd_finds(self):
        target = target_of("gll")
        batch = batch_of(target.task)
        result = []
        for base_sets in (1, 2):
            torch.manual_seed(0)
            made = create("attacks", "pgd", epsilons=[0.1], steps=[2], base_sets=base_sets)
            result += [candidate.x for candidate in made.perturb(target, batch.x, batch.y)]
        assert not result[0].equal(result[1])
        skipped = create("attacks", "pgd", epsilons=[0.1], steps=[2], base_sets=2)
        assert "no base set" in (skipped.skip(target_of("softmax")) or "")

    def test_exact_gradient_of_a_surrogate_is_that_of_the_log_likelihood(self):
        model, task, seeds = trained("wnll", "two_moons")
        target = Target(double(deepcopy(model)), task, seeds, "surrogate")
        x, y = task.test.x[:6].double(), task.test.y[:6]
        rows = torch.arange(6)

        @torch.no_grad()
        def loss(z: Tensor) -> Tensor:
            return -target.log_probabilities(z)[rows, y].sum()

        expected = finite_differences(loss, x, h=1e-5)
        assert relative_error(target.gradient(x, y, "exact"), expected) < 1e-5
        assert relative_error(target.gradient(x, y, "own"), expected) > 1e-2

    def test_exact_gradient_is_refused_where_there_is_no_surrogate(self):
        made = create("attacks", "fgsm", epsilons=[0.1], gradient="exact")
        assert made.skip(target_of("wnll")) is None
        assert "no surrogate" in (made.skip(target_of("softmax")) or "")


def double(model: Any) -> Any:
    """A WNLL model in float64, template included."""
    model.template = Split(model.template.x.double(), model.template.y)
    model.unlabeled = model.unlabeled.double()
    return model.double()


@pytest.mark.parametrize(
    ("epsilon", "step_size", "steps"), [(0.1, 0.05, 10), (0.3, 0.05, 30), (0.005, 0.05, 1)]
)
def test_ifgsm_takes_five_times_the_steps_to_the_boundary(
    epsilon: float, step_size: float, steps: int
):
    target, batch = linear_target(classes=3, size=4, bounds=None)
    made = create("attacks", "ifgsm", epsilons=[epsilon], step_size=step_size)
    *_, last = made.perturb(target, batch.x, batch.y)
    assert last.level.steps == target.gradients == steps


def test_ifgsm_takes_the_steps_that_are_given_for_every_epsilon():
    target, batch = linear_target(classes=3, size=4, bounds=None)
    made = create("attacks", "ifgsm", epsilons=[0.1, 0.3], step_size=0.05, steps=7)
    levels = [result.level for result in made.perturb(target, batch.x, batch.y)]
    assert [(level.value, level.steps) for level in levels] == [
        (epsilon, step) for epsilon in (0.1, 0.3) for step in (2, 4, 6, 7)
    ]
    assert target.gradients == 14
