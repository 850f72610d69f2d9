"""What attacks predict with: the base set computed once, or drawn anew, or the exact gradient."""

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_bilevel import karate
from make_cells import create, small_cell
from oracle_graph import finite_differences, relative_error
from torch import Tensor

from lapbench.attacks.base.loss import log_likelihood
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import finish, with_cached_base_set
from lapbench.methods.base.model import Model
from lapbench.training.loop import train

WNLL: dict[str, Any] = {"k": 8, "bandwidth_rank": 4}
BASED: list[tuple[str, dict[str, Any], int | None]] = [
    ("gll", {}, None),
    ("gll", {"evaluation_base_per_class": 9, "tau": 0.01}, None),
    ("gll", {"softmax_share": 0.5}, 30),
    ("wnll", WNLL, None),
    ("wnll", {**WNLL, "template_batch_size": 30}, None),
    ("wnll", {**WNLL, "rounds": 0}, None),
    # The other training samples are in the graph without a label.
    ("wnll", WNLL, 30),
    ("bilevel", {"k": 6}, None),
    ("bilevel", {"k": 6, "inner_per_class": 5}, None),
]
ALL = pytest.mark.parametrize(("head", "options", "labeled"), BASED)


def fitted(head: str, options: dict[str, Any], labeled: int | None) -> tuple[Model, Task]:
    """A trained model on two moons in float64, in evaluation mode; a copy for each test."""
    return deepcopy(_fitted(head, tuple(options.items()), labeled))


@cache
def _fitted(head: str, items: tuple[Any, ...], labeled: int | None) -> tuple[Model, Task]:
    options = dict(items)
    cell = replace(small_cell(head, **options), labeled=labeled)
    task = cell.load_task()
    splits = {name: getattr(task, name) for name in ("train", "validation", "test")}
    task = replace(task, **{name: Split(s.x.double(), s.y) for name, s in splits.items()})
    model = cell.build_model(task).double()
    train(model, task, Budget(epochs=2, batch_size=50), cell.seeds)
    finish(model, task, cell.seeds.stream("finish"))
    return model.eval().requires_grad_(False), task


def answers(model: Model, split: Split) -> tuple[Tensor, Tensor]:
    """Log-probabilities, and the gradient of the summed log-likelihood in the inputs."""
    x = split.x.clone().requires_grad_()
    predicted = model(x)
    (gradient,) = torch.autograd.grad(log_likelihood(predicted, split.y).sum(), x)
    return predicted.detach(), gradient


def same(model: Model, other: Model, split: Split) -> bool:
    pairs = zip(answers(model, split), answers(other, split), strict=True)
    return all(relative_error(one, two) < 1e-9 for one, two in pairs)


def contents(model: Model) -> dict[str, Any]:
    """All that a model holds, copied."""
    state = {name: value for name, value in vars(model).items() if not name.startswith("_")}
    return deepcopy({**state, "state": model.state_dict()})


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, Split):
        return torch.equal(first.x, second.x) and torch.equal(first.y, second.y)
    if isinstance(first, dict):
        return set(first) == set(second) and all(equal(first[k], second[k]) for k in first)
    return bool(first == second)


@ALL
def test_fixed_model_predicts_and_derives_the_same_and_changes_nothing(
    head: str, options: dict[str, Any], labeled: int | None
):
    model, task = fitted(head, options, labeled)
    before, expected = contents(model), answers(model, task.test)
    fixed = model.with_cached_base_set()
    assert fixed is not model
    assert same(fixed, model, task.test)
    assert same(fixed.with_cached_base_set(), model, task.test)
    assert equal(contents(model), before)
    assert all(torch.equal(a, b) for a, b in zip(answers(model, task.test), expected, strict=True))


@ALL
def test_fixed_model_computes_the_features_of_the_batch_alone(
    head: str, options: dict[str, Any], labeled: int | None
):
    model, task = fitted(head, options, labeled)
    fixed, sizes = model.with_cached_base_set(), []
    model.backbone.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))
    fixed(task.test.x[:7])
    assert sizes == [7]
    fixed.outputs(fixed.features(task.test.x[:5]))
    assert sizes == [7, 5]


@ALL
def test_redrawn_model_has_another_base_set_and_leaves_the_original_as_it_was(
    head: str, options: dict[str, Any], labeled: int | None
):
    model, task = fitted(head, options, labeled)
    before = contents(model)
    models = [
        model.with_resampled_base_set(task, np.random.default_rng(seed)) for seed in (0, 0, 1)
    ]
    first, again, other = models
    assert equal(contents(model), before)
    assert same(first, again, task.test)
    for one, two in ((first, model), (other, model), (first, other)):
        assert not same(one, two, task.test)
    assert same(first.with_cached_base_set(), first, task.test)
    redrawn = model.with_cached_base_set().with_resampled_base_set(task, np.random.default_rng(0))
    assert same(redrawn, first, task.test)


@ALL
def test_redrawn_base_set_is_of_samples_whose_class_is_known(
    head: str, options: dict[str, Any], labeled: int | None
):
    model, task = fitted(head, options, labeled)
    redrawn = model.with_resampled_base_set(task, np.random.default_rng(0))
    name = {"gll": "base", "wnll": "template", "bilevel": "inner"}[head]
    chosen = redrawn.get_extra_state()[name]
    assert len(chosen) == len(chosen.unique())
    assert bool((task.train.y[chosen] >= 0).all())
    assert set(task.train.y[chosen].tolist()) == {0, 1}
    held = getattr(redrawn, name)
    assert torch.equal(held.x, task.train.x[chosen])
    assert torch.equal(held.y, task.train.y[chosen])


@pytest.mark.parametrize("head", ["gll", "wnll"])
def test_on_a_node_task_nothing_is_fixed_and_the_base_set_can_be_redrawn(head: str):
    task = karate()
    options = {"k": 5} if head == "gll" else {"k": 8, "bandwidth_rank": 4}
    model = create("methods", head, **options).build(
        create("backbones", "gnn", width=4).build(task), task
    )
    finish(model, task, np.random.default_rng(0))
    model.eval().requires_grad_(False)
    assert same(model.with_cached_base_set(), model, task.test)
    redrawn = model.with_resampled_base_set(task, np.random.default_rng(1))
    assert not same(redrawn, model, task.test)


@pytest.mark.parametrize("head", ["softmax", "svm"])
def test_model_without_a_base_set_is_itself(head: str):
    model, task = fitted(head, {}, None)
    assert with_cached_base_set(model) is model
    target = Target(model, task, small_cell(head).seeds)
    assert not target.has_base_set
    exact = target.log_probabilities(task.test.x, "exact")
    assert torch.equal(exact, model(task.test.x))
    with refused(ValueError, "Model", "base set"):
        target.gradient(task.test.x, task.test.y, base_sets=2)


class TestExact:
    """WNLL predicts its interpolation, and derives the linear branch."""

    def target(self, **options: Any) -> Target:
        model, task = fitted("wnll", {**WNLL, **options}, None)
        return Target(model, task, small_cell("wnll").seeds, "surrogate")

    @pytest.mark.parametrize("options", [{}, {"template_batch_size": 30}])
    def test_predictions_are_the_same(self, options: dict[str, Any]):
        target = self.target(**options)
        for model in (target.model, target.model.with_cached_base_set()):
            exact, own = (predict(target.task.test.x) for predict in (model.exact, model))
            assert relative_error(exact, own) < 1e-12

    @pytest.mark.parametrize("options", [{}, {"template_batch_size": 30}])
    def test_gradient_equals_finite_differences_and_the_own_does_not(self, options: dict[str, Any]):
        target = self.target(**options)
        batch = Split(target.task.test.x[:6], target.task.test.y[:6])
        expected = finite_differences(
            lambda x: -log_likelihood(target.model(x), batch.y).sum(), batch.x, 1e-6
        )
        exact = target.gradient(batch.x, batch.y, "exact")
        assert relative_error(exact, expected) < 1e-5
        own = target.gradient(batch.x, batch.y)
        assert relative_error(own, expected) > 0.1

    def test_model_of_exact_training_has_it_for_its_own(self):
        model, task = fitted("wnll", {**WNLL, "rounds": 0}, None)
        target = Target(model, task, small_cell("wnll").seeds, "exact")
        own, exact = (target.gradient(task.test.x, task.test.y, kind) for kind in ("own", "exact"))
        assert relative_error(own, exact) < 1e-12
