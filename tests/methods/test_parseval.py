"""Parseval training: tight frames by a step after each step, and scaled convolutions."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_cells import loaded, small_cell, trained
from pydantic import ValidationError
from torch import nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.backbone import Features
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model
from lapbench.methods.parseval import Parseval
from lapbench.methods.softmax import Softmax
from lapbench.suite.components import Component
from lapbench.training.metrics import accuracy, predict

X = torch.rand(5, 2, 6, 6, generator=torch.Generator().manual_seed(0))
TASK = Task("toy", *[Split(X, torch.tensor([0, 1, 2, -1, 0]))] * 3, num_classes=3)


def plain_model(kernel: tuple[int, int] = (3, 3)) -> Model:
    """A convolution, a grouped one, batch normalisation, and two linear layers."""
    torch.manual_seed(1)
    backbone = Features(
        nn.Conv2d(2, 4, kernel, padding="same"),
        nn.ReLU(),
        nn.Conv2d(4, 6, kernel, padding="same", groups=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AvgPool2d(3),
        nn.Flatten(),
        nn.Linear(24, 7),
        feature_size=7,
    )
    return Softmax().build(backbone, TASK).eval()


def prepared_model(beta: float = 0.01, kernel: tuple[int, int] = (3, 3)) -> Model:
    """The same model with Parseval's convolutions."""
    model = plain_model(kernel)
    Parseval(beta=beta).prepare(model)
    return model


def layers(model: nn.Module) -> list[Any]:
    """Its linear and convolutional layers."""
    return [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def unscaled(layer: Any) -> Any:
    """The weight that is trained."""
    convolution = isinstance(layer, nn.Conv2d)
    return layer.parametrizations.weight.original if convolution else layer.weight


def step_by_loops(weight: np.ndarray, beta: float) -> np.ndarray:
    """(1 + β)W − βWWᵀW entry by entry."""
    rows, columns = weight.shape
    gram = np.zeros((rows, rows))
    for i, j, k in product(range(rows), range(rows), range(columns)):
        gram[i, j] += weight[i, k] * weight[j, k]
    result = (1 + beta) * weight
    for i, j, k in product(range(rows), range(columns), range(rows)):
        result[i, j] -= beta * gram[i, k] * weight[k, j]
    return result


def trained_weights(model: nn.Module) -> list[torch.Tensor]:
    """Copies of the trained weights."""
    return [unscaled(layer).detach().clone() for layer in layers(model)]


class TestScaling:
    @pytest.mark.parametrize(("kernel", "square"), [((3, 3), 19), ((1, 1), 3), ((3, 5), 31)])
    def test_divides_convolutions_alone_by_the_root_of_twice_the_kernel_plus_1(
        self, kernel: tuple[int, int], square: int
    ):
        plain, model = plain_model(kernel), prepared_model(kernel=kernel)
        before, after = layers(plain), layers(model)
        assert torch.equal(before[0].bias, after[0].bias)
        for one, scaled in zip(before[:2], after[:2], strict=True):
            torch.testing.assert_close(scaled.weight, one.weight / math.sqrt(square))
            assert torch.equal(unscaled(scaled), one.weight)
        for one, same in zip(before[2:], after[2:], strict=True):
            assert torch.equal(one.weight, same.weight)
            assert not nn.utils.parametrize.is_parametrized(same)
        shapes = [sorted(tuple(p.shape) for p in each.parameters()) for each in (plain, model)]
        assert shapes[0] == shapes[1]

    def test_prediction_and_gradient_are_those_of_divided_weights(self):
        model, divided = prepared_model(), plain_model()
        with torch.no_grad():
            for layer in layers(divided)[:2]:
                layer.weight /= math.sqrt(19)
        torch.testing.assert_close(model(X), divided(X))
        for each in (model, divided):
            each.loss(X, TASK.train.y).backward()
        for one, two in zip(layers(model)[:2], layers(divided)[:2], strict=True):
            torch.testing.assert_close(unscaled(one).grad, two.weight.grad / math.sqrt(19))


class TestStep:
    @pytest.mark.parametrize("beta", [0.01, 0.3])
    def test_is_the_formula_and_a_gradient_step_of_the_distance_from_a_tight_frame(
        self, beta: float
    ):
        """Of (β/4)‖WᵀW − I‖²; equation 7 as printed, with β/2, gives steps twice as long."""
        model = prepared_model(beta).double()
        before = trained_weights(model)
        Parseval(beta=beta).after_step(model)
        assert len(before) == 4
        for layer, weight in zip(layers(model), before, strict=True):
            matrix = weight.flatten(1).requires_grad_()
            expected = torch.from_numpy(step_by_loops(matrix.detach().numpy(), beta))
            torch.testing.assert_close(unscaled(layer).flatten(1).detach(), expected)
            gap = matrix.T @ matrix - torch.eye(matrix.shape[1], dtype=torch.float64)
            (gradient,) = torch.autograd.grad(beta / 4 * (gap**2).sum(), matrix)
            torch.testing.assert_close(expected, (matrix - gradient).detach())

    def test_repeated_it_drives_every_singular_value_to_1_where_it_ends(self):
        model = prepared_model().double()
        start = torch.linalg.svdvals(unscaled(layers(model)[0]).flatten(1))
        assert start.max() - start.min() > 0.1
        for _ in range(300):
            Parseval(beta=0.1).after_step(model)
        for layer in layers(model):
            values = torch.linalg.svdvals(unscaled(layer).flatten(1))
            torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-10)
        before = trained_weights(model)
        Parseval(beta=0.3).after_step(model)
        torch.testing.assert_close(trained_weights(model), before, rtol=0, atol=1e-9)

    def test_leaves_biases_normalisation_gradients_and_frozen_weights(self):
        """Weights are frozen in a phase that trains other parameters; leaves stay the same."""
        model = prepared_model()
        model.loss(X, TASK.train.y).backward()
        frozen = [unscaled(layer).requires_grad_(False) for layer in layers(model)[::2]]
        stepped = {id(unscaled(layer)) for layer in layers(model)[1::2]}
        parameters = list(model.parameters())
        before = [(p.detach().clone(), p.grad.clone()) for p in parameters]
        Parseval(beta=0.3).after_step(model)
        assert len(parameters) == 5 + len(stepped) + len(frozen)
        for old, new, (value, gradient) in zip(parameters, model.parameters(), before, strict=True):
            assert old is new
            assert new.is_leaf
            assert torch.equal(new, value) == (id(new) not in stepped)
            assert torch.equal(new.grad, gradient)
        model.loss(X, TASK.train.y).backward()


def test_penalty_is_zero():
    assert float(Parseval().penalty(prepared_model(), X, TASK.train.y, 0.5)) == 0


@pytest.mark.parametrize("beta", [-0.1, math.nan])
def test_impossible_beta_is_refused(beta: float):
    with refused(ValidationError, "beta"):
        Parseval(beta=beta)


def test_network_with_batch_normalisation_learns_and_a_saved_model_predicts_the_same():
    cell = replace(
        small_cell("parseval"),
        dataset=Component("digits", {}),
        backbone=Component("small_resnet", {"width": 8, "blocks": 1, "combination": "convex"}),
        budget=Budget(epochs=3, batch_size=50, learning_rate=0.01),
    )
    model, task, _ = trained(cell)
    assert accuracy(predict(model, task.test.x, 500), task.test.y) > 0.7
    copied = loaded(cell, model.state_dict())
    assert torch.equal(copied(task.test.x), model(task.test.x))
