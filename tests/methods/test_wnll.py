"""WNLL: interpolation and its two gradients, against dense solves."""

from typing import Any

import pytest
import torch
from make_cells import small_cell
from make_graphs import random
from oracle_graph import relative_error, slopes
from oracle_wnll import (
    CLASSES,
    NEIGHBORS,
    RANK,
    blobs,
    dense_log_probabilities,
    dense_loss,
    dense_values,
    interpolating,
    values_of,
)
from torch import Tensor
from torch.nn import functional

from lapbench.datasets.base.task import Split
from lapbench.methods.backbones.identity import Identity
from lapbench.methods.base.budget import Budget
from lapbench.methods.wnll import WNLLActivation
from lapbench.seeds import Seeds

TASK = blobs()
X, Y = TASK.test.x, TASK.test.y
SEEDS = Seeds("blobs", 0)


class TestInterpolation:
    @pytest.mark.parametrize("label_weight", ["ratio - 1", "ratio"])
    def test_equals_a_dense_solve(self, label_weight: str):
        model = interpolating(TASK, label_weight=label_weight)
        points, template = model.features(X), model.template
        found = model.interpolate(points, template).detach()
        expected = dense_values(points, model.features(template.x), template.y, label_weight)
        assert relative_error(found, expected) < 1e-9

    def test_has_rows_that_sum_to_one(self):
        model = interpolating(TASK)
        values = model.interpolate(model.features(X), model.template)
        torch.testing.assert_close(values.sum(dim=1), torch.ones(len(X)).double())
        assert values.min() >= -1e-12

    def test_of_large_surrogate_logits_is_as_exact(self):
        """The linear layer lends its derivative, and must not round the values away."""
        found = []
        for kind in ("surrogate", "exact"):
            model = interpolating(TASK, gradient=kind).float()
            model.template = Split(model.template.x.float(), model.template.y)
            with torch.no_grad():
                model.linear.bias += 100
                found.append(model(X.float()))
        torch.testing.assert_close(*found)

    def test_without_buffer_or_training_is_of_raw_inputs(self):
        backbone = Identity().build(TASK)
        head = WNLLActivation(k=NEIGHBORS, bandwidth_rank=RANK, rounds=0)
        model: Any = head.build(backbone, TASK).double()
        assert not model.phases(Budget(epochs=0))
        model.finish(TASK, SEEDS.stream("finish"))
        expected = dense_values(X, TASK.train.x, TASK.train.y)
        torch.testing.assert_close(model(X), dense_log_probabilities(expected))


class TestSurrogateGradient:
    """The linear branch differentiates, at the values of the other."""

    def test_loss_is_the_cross_entropy_of_the_interpolated_values(self):
        model = interpolating(TASK)
        expected = dense_loss(values_of(model, X, model.template), Y)
        torch.testing.assert_close(model.loss(X, Y), expected)

    def test_is_that_of_the_values_through_the_linear_layer(self):
        """[(softmax(Ŷ) − Y)/b]·W in the features, and by them in the buffer's weights."""
        model = interpolating(TASK)
        features, weights = model.features(X), model.buffer[0].weight
        loss = functional.cross_entropy(model.outputs(features), Y)
        gradients = torch.autograd.grad(loss, [features, weights], retain_graph=True)
        shares = values_of(model, X, model.template).softmax(dim=1)
        expected = (shares - torch.eye(CLASSES)[Y]) / len(Y) @ model.linear.weight
        assert relative_error(gradients[0], expected) < 1e-9
        (by_features,) = torch.autograd.grad(features, weights, expected)
        assert relative_error(gradients[1], by_features) < 1e-9

    def test_at_template_rows_is_zero(self):
        model = interpolating(TASK)
        x = model.template.x.clone().requires_grad_()
        model.template = Split(x, model.template.y)
        (gradient,) = torch.autograd.grad(model.loss(X, Y), x, allow_unused=True)
        assert gradient is None or not gradient.any()

    def test_of_the_prediction_in_inputs_is_that_of_the_loss(self):
        """Eq. 24: an attack on −log p_y goes the way of the cross-entropy at the values Ŷ."""
        model, x = interpolating(TASK), X.clone().requires_grad_()
        (found,) = torch.autograd.grad(functional.nll_loss(model(x), Y), x)
        (expected,) = torch.autograd.grad(model.loss(x, Y), x)
        assert expected.any()
        torch.testing.assert_close(found, expected)

    def test_is_not_the_exact_one(self):
        model, other = interpolating(TASK), interpolating(TASK, gradient="exact")
        found = [
            torch.autograd.grad(at.loss(X, Y), at.buffer[0].weight)[0] for at in (model, other)
        ]
        torch.testing.assert_close(model.loss(X, Y), other.loss(X, Y))
        assert relative_error(*found) > 0.1


class TestExactGradient:
    """Against finite differences of the dense solve."""

    def test_in_buffer_weights_which_move_the_template_too(self):
        model = interpolating(TASK, gradient="exact")
        layer, template = model.buffer[0], model.template
        at = layer.weight.detach().clone()

        def objective(weight: Tensor) -> Tensor:
            def features(x: Tensor) -> Tensor:
                return (model.backbone(x) @ weight.T + layer.bias).clamp_min(0)

            return dense_loss(dense_values(features(X), features(template.x), template.y), Y)

        (gradient,) = torch.autograd.grad(model.loss(X, Y), layer.weight)
        directions = random(at.numel(), 3, seed=2)
        expected = slopes(objective, at, directions, 1e-6)
        assert relative_error(directions.T @ gradient.view(-1), expected) < 1e-6

    def test_of_the_prediction_in_inputs(self):
        model, upstream = interpolating(TASK, gradient="exact"), random(len(X), CLASSES, seed=3)

        def objective(x: Tensor) -> Tensor:
            return (dense_log_probabilities(values_of(model, x, model.template)) * upstream).sum()

        x = X.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((model(x) * upstream).sum(), x)
        directions = random(X.numel(), 3, seed=4)
        expected = slopes(objective, X, directions, 1e-6)
        assert relative_error(directions.T @ gradient.view(-1), expected) < 1e-6


def test_measuring_keeps_nothing_of_the_backbone_for_a_backward_pass():
    """On all images of a data set that would not fit into memory."""
    cell = small_cell("wnll")
    task = cell.load_task()
    model = cell.build_model(task)
    model.finish(task, cell.seeds.stream("finish"))
    kept: list[bool] = []
    model.backbone.register_forward_hook(lambda *found: kept.append(found[-1].requires_grad))
    model.measure(task.test, 50)
    assert kept
    assert not any(kept)
    assert all(parameter.requires_grad for parameter in model.parameters())
