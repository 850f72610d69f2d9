"""Softmax with a hidden layer is what the GLL paper calls an MLP classifier."""

import pytest
import torch
from expect_refusal import refused
from make_cells import create, small_cell, small_task
from pydantic import ValidationError

from lapbench.methods.base.activations import count_relus
from lapbench.methods.base.backbone import Features
from lapbench.methods.softmax import LinearModel, Softmax


def built(hidden_size: int | None) -> LinearModel:
    """An untrained model on two moons."""
    task = small_task()
    model = Softmax(hidden_size=hidden_size).build(create("backbones", "mlp").build(task), task)
    assert isinstance(model, LinearModel)
    return model.double()


def test_hidden_layer_is_linear_with_a_relu_that_terms_see():
    model, x = built(5), small_task().test.x.double()
    (v, a), (w, b) = ((layer.weight, layer.bias) for layer in (model.hidden[0], model.linear))
    logits = torch.relu(model.backbone(x) @ v.T + a) @ w.T + b
    torch.testing.assert_close(model(x), torch.log_softmax(logits, dim=1))
    assert count_relus(model) == count_relus(built(None)) + 1


def test_there_is_none_by_default():
    """So that the weights are those of the records that were made before there was one."""
    head = [name for name in built(None).state_dict() if not name.startswith("backbone.")]
    assert head == ["linear.weight", "linear.bias"]


@pytest.mark.parametrize("size", [1024, 32])
def test_has_the_parameters_of_the_paper(size: int):
    model = LinearModel(Features(feature_size=128), 10, size)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == (128 * size + size) + (size * 10 + 10)


@pytest.mark.parametrize("hidden_size", [0, -1, 2.5])
def test_sizes_below_one_are_refused(hidden_size: float):
    with refused(ValidationError, "hidden_size"):
        create("methods", "softmax", hidden_size=hidden_size)


def test_hidden_layer_starts_the_same_in_every_run_and_the_backbone_as_without():
    cell, plain = small_cell("softmax", hidden_size=6), small_cell("softmax")
    task = cell.load_task()
    one, two, without = (each.build_model(task) for each in (cell, cell, plain))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    for name, value in without.backbone.state_dict().items():
        assert torch.equal(value, one.backbone.state_dict()[name])
