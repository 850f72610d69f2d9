"""Trained networks as affine maps and ReLUs."""

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_cells import create, small_task
from make_relu_networks import flat, images, trained

from lapbench.attacks.verifier.affine import affine_layers, logits, why_not
from lapbench.methods.base.method import Head
from lapbench.methods.softmax import Softmax

UNIT = (0.0, 1.0)


class TestAffineLayers:
    @pytest.mark.parametrize(
        ("head", "term"), [("softmax", ""), ("svm", ""), ("softmax", "parseval")]
    )
    def test_give_the_outputs_of_the_model(self, head: str, term: str):
        model, task = trained(head, term, epochs=1)
        layers = affine_layers(model, task.input_shape)
        assert len(layers) == 4
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        double = trained.__wrapped__(head, term, epochs=1)[0].double()
        expected = double.outputs(double.features(task.test.x.double())).detach().numpy()
        np.testing.assert_allclose(logits(layers, flat(task.test.x)), expected, atol=1e-11, rtol=0)

    @pytest.mark.parametrize(("backbone", "count"), [("mlp", 3), ("identity", 1)])
    def test_merge_what_no_relu_parts(self, backbone: str, count: int):
        """The last linear layer of mlp and the classifier are one map."""
        task = images(4)
        model = Softmax().build(create("backbones", backbone).build(task), task)
        layers = affine_layers(model, task.input_shape)
        assert len(layers) == count
        expected = model.double().outputs(model.features(task.test.x.double()))
        result = logits(layers, flat(task.test.x))
        np.testing.assert_allclose(result, expected.detach().numpy(), atol=1e-11, rtol=0)

    def test_of_a_hidden_layer_are_two(self):
        task = images(4)
        model = Softmax(hidden_size=7).build(create("backbones", "mlp").build(task), task)
        layers = affine_layers(model, task.input_shape)
        assert [layer.weight.shape[0] for layer in layers] == [64, 64, 7, task.num_classes]
        expected = model.double().outputs(model.features(task.test.x.double()))
        result = logits(layers, flat(task.test.x))
        np.testing.assert_allclose(result, expected.detach().numpy(), atol=1e-11, rtol=0)

    @pytest.mark.parametrize(
        ("head", "backbone", "reason"),
        [
            (create("methods", "gll", base_per_class=1), "strided_cnn", "softmax or svm"),
            (Softmax(), "small_cnn", "MaxPool2d|strided_cnn"),
            (Softmax(), "small_resnet", "strided_cnn"),
        ],
        ids=["gll", "max pooling", "residual"],
    )
    def test_other_models_have_a_reason(self, head: Head, backbone: str, reason: str):
        task = images(8)
        model = head.build(create("backbones", backbone).build(task), task)
        assert why_not(model)
        with refused(ValueError, *reason.split("|")):
            affine_layers(model, task.input_shape)

    def test_applicable_models_have_no_reason(self):
        assert why_not(trained()[0]) is None


@pytest.mark.parametrize("size", [4, 7, 8, 28, 32])
def test_strided_cnn_adapts_to_the_image(size: int):
    task = images(size, channels=3)
    assert create("backbones", "strided_cnn").build(task)(task.test.x).shape == (20, 128)


def test_strided_cnn_has_the_layers_of_the_papers():
    """3→16 and 16→32 channels of 4×4, then 32·8·8→128, as counted by hand."""
    backbone = create("backbones", "strided_cnn").build(images(32, channels=3))
    expected = (3 * 16 * 16 + 16) + (16 * 16 * 32 + 32) + (32 * 64 * 128 + 128)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == expected


def test_strided_cnn_refuses_vectors_with_the_remedy():
    with refused(ValueError, "strided_cnn", "(2,) from two_moons", "mlp"):
        create("backbones", "strided_cnn").build(small_task())
