"""Parseval training: tight frames by a step after each step, and scaled convolutions."""

import copy
import io
import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_cells import small_cell
from pydantic import ValidationError
from torch import nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.backbones.small_cnn import SmallCNN
from lapbench.methods.base.backbone import Features
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model
from lapbench.methods.parseval import Parseval
from lapbench.methods.softmax import Softmax
from lapbench.suite.components import Component
from lapbench.training.loop import train
from lapbench.training.metrics import accuracy, predict
from lapbench.training.steps import Recipe

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


class TestScaling:
    @pytest.mark.parametrize(("kernel", "square"), [((3, 3), 19), ((1, 1), 3), ((3, 5), 31)])
    def test_divides_convolutions_by_the_root_of_twice_the_kernel_plus_1(
        self, kernel: tuple[int, int], square: int
    ):
        before, after = layers(plain_model(kernel)), layers(prepared_model(kernel=kernel))
        for plain, scaled in zip(before[:2], after[:2], strict=True):
            torch.testing.assert_close(scaled.weight, plain.weight / math.sqrt(square))
            assert torch.equal(unscaled(scaled), plain.weight)

    def test_leaves_linear_layers_and_biases_alone(self):
        before, after = layers(plain_model()), layers(prepared_model())
        for plain, same in zip(before[2:], after[2:], strict=True):
            assert torch.equal(plain.weight, same.weight)
            assert not nn.utils.parametrize.is_parametrized(same)
        assert torch.equal(before[0].bias, after[0].bias)

    def test_prediction_is_that_of_divided_weights(self):
        model = plain_model()
        with torch.no_grad():
            for layer in layers(model)[:2]:
                layer.weight /= math.sqrt(19)
        torch.testing.assert_close(prepared_model()(X), model(X))

    def test_gradient_reaches_the_unscaled_weight(self):
        model = prepared_model()
        model.loss(X, TASK.train.y).backward()
        scaled = copy.deepcopy(model)
        for layer in layers(scaled)[:2]:
            nn.utils.parametrize.remove_parametrizations(layer, "weight")
        scaled.zero_grad()
        scaled.loss(X, TASK.train.y).backward()
        for one, two in zip(layers(model)[:2], layers(scaled)[:2], strict=True):
            expected = two.weight.grad / math.sqrt(19)
            torch.testing.assert_close(unscaled(one).grad, expected)

    def test_every_parameter_stays_one_of_the_model(self):
        names = {name for name, _ in prepared_model().named_parameters()}
        assert len(names) == len(list(plain_model().parameters()))
        shapes = sorted(tuple(p.shape) for p in prepared_model().parameters())
        assert shapes == sorted(tuple(p.shape) for p in plain_model().parameters())


class TestStep:
    @pytest.mark.parametrize("beta", [0.01, 0.3])
    def test_is_the_formula_in_every_linear_and_convolutional_layer(self, beta: float):
        model = prepared_model(beta).double()
        before = [unscaled(layer).detach().clone() for layer in layers(model)]
        Parseval(beta=beta).after_step(model)
        assert len(before) == 4
        for layer, weight in zip(layers(model), before, strict=True):
            expected = step_by_loops(weight.flatten(1).numpy(), beta).reshape(weight.shape)
            torch.testing.assert_close(unscaled(layer).detach(), torch.from_numpy(expected))

    def test_is_a_gradient_step_of_the_distance_from_a_tight_frame(self):
        """Of (β/4)‖WᵀW − I‖²; equation 7 as printed, with β/2, gives steps twice as long."""
        beta = 0.1
        model = prepared_model(beta).double()
        expected = []
        for layer in layers(model):
            weight = unscaled(layer).detach().clone().requires_grad_()
            matrix = weight.flatten(1)
            gap = matrix.T @ matrix - torch.eye(matrix.shape[1], dtype=torch.float64)
            (gradient,) = torch.autograd.grad(beta / 4 * (gap**2).sum(), weight)
            expected.append((weight - gradient).detach())
        Parseval(beta=beta).after_step(model)
        for layer, weight in zip(layers(model), expected, strict=True):
            torch.testing.assert_close(unscaled(layer).detach(), weight)

    def test_repeated_it_drives_every_singular_value_to_1(self):
        model = prepared_model().double()
        start = torch.linalg.svdvals(unscaled(layers(model)[0]).flatten(1))
        assert start.max() - start.min() > 0.1
        for _ in range(300):
            Parseval(beta=0.1).after_step(model)
        for layer in layers(model):
            found = torch.linalg.svdvals(unscaled(layer).flatten(1))
            torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-10)

    def test_tight_frames_are_fixed_points(self):
        model = prepared_model().double()
        for layer in layers(model):
            nn.init.orthogonal_(unscaled(layer))
        before = [unscaled(layer).detach().clone() for layer in layers(model)]
        Parseval(beta=0.3).after_step(model)
        for layer, weight in zip(layers(model), before, strict=True):
            torch.testing.assert_close(unscaled(layer).detach(), weight, rtol=0, atol=1e-14)

    def test_biases_normalisation_and_gradients_stay(self):
        model = prepared_model()
        model.loss(X, TASK.train.y).backward()
        stepped = {id(unscaled(layer)) for layer in layers(model)}
        rest = [p for p in model.parameters() if id(p) not in stepped]
        before = [p.detach().clone() for p in rest]
        gradients = [p.grad.clone() for p in model.parameters()]
        Parseval(beta=0.3).after_step(model)
        assert len(rest) == 5
        assert all(torch.equal(p, old) for p, old in zip(rest, before, strict=True))
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            assert torch.equal(parameter.grad, gradient)

    def test_frozen_weights_stay(self):
        """As in a phase that trains other parameters."""
        model = prepared_model()
        frozen = layers(model)[::2]
        before = [unscaled(layer).requires_grad_(False).clone() for layer in frozen]
        trained = unscaled(layers(model)[1]).detach().clone()
        Parseval(beta=0.3).after_step(model)
        for layer, weight in zip(frozen, before, strict=True):
            assert torch.equal(unscaled(layer), weight)
        assert not torch.equal(unscaled(layers(model)[1]), trained)

    def test_optimiser_goes_on_with_the_same_parameters(self):
        model = prepared_model(0.3)
        before = list(model.parameters())
        Parseval(beta=0.3).after_step(model)
        for old, new in zip(before, model.parameters(), strict=True):
            assert old is new
            assert new.is_leaf
            assert new.requires_grad
        model.loss(X, TASK.train.y).backward()


def test_penalty_is_zero():
    assert float(Parseval().penalty(prepared_model(), X, TASK.train.y, 0.5)) == 0


def test_saved_model_predicts_the_same_bit_for_bit():
    model = Softmax().build(SmallCNN(width=4, feature_size=8).build(TASK), TASK)
    Parseval().prepare(model)
    Parseval(beta=0.3).after_step(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    copied = Softmax().build(SmallCNN(width=4, feature_size=8).build(TASK), TASK)
    Parseval().prepare(copied)
    assert not torch.equal(copied(X), model(X))
    copied.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(copied(X), model(X))


@pytest.mark.parametrize("beta", [-0.1, math.nan])
def test_impossible_beta_is_refused(beta: float):
    with refused(ValidationError, "beta"):
        Parseval(beta=beta)


def test_network_with_batch_normalisation_learns():
    cell = replace(
        small_cell("parseval"),
        dataset=Component("digits", {}),
        backbone=Component("small_resnet", {"width": 8, "blocks": 1, "combination": "convex"}),
        budget=Budget(epochs=3, batch_size=50, learning_rate=0.01),
    )
    task = cell.load_task()
    model = cell.build_model(task)
    recipe = Recipe(cell.method.create_terms())
    train(model, task, cell.budget, cell.seeds, recipe)
    assert accuracy(predict(model, task.test.x, 500), task.test.y) > 0.7
