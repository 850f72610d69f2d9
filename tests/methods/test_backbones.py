"""The papers' backbones: published counts of parameters, and features by hand."""

from typing import Any

import pytest
import torch
from expect_refusal import refused
from make_cells import create, images, small_task
from oracle_resnet import BLOCKS, NARROW, features_by_hand, parameters_by_formula
from pydantic import ValidationError
from torch import nn

from lapbench.methods.base.activations import observing_relus
from lapbench.methods.softmax import Softmax

DEPTHS = {
    "resnet": [*BLOCKS, *NARROW],
    "preact_resnet": list(BLOCKS),
    "vgg": [11, 13, 16, 19],
    "wide_resnet": [10, 34],
}
EVERY = [(name, depth) for name, depths in DEPTHS.items() for depth in depths]


def build(name: str, depth: int | None, *size: int, **options: Any) -> Any:
    """A backbone for colour images (8×8), with the same weights always; wide ones are narrow."""
    options |= {"depth": depth} if depth else {}
    options |= {"factor": 1} if name == "wide_resnet" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create("backbones", name, **options).build(images(3, *(size or (8,))))


def count(name: str, *size: int, **options: Any) -> int:
    """Parameters with the softmax head of ten classes, for images (channels, height)."""
    task = images(*size)
    model = Softmax().build(create("backbones", name, **options).build(task), task)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet", "preact_resnet", "wide_resnet"])
def test_parameters_are_the_sum_over_the_layers(name: str):
    for depth in DEPTHS[name]:
        assert count(name, 3, 32, depth=depth) == parameters_by_formula(name, depth)


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_narrow_resnets_have_the_published_number_of_parameters(depth: int, millions: float):
    """WNLL paper, table 1, and He et al. (2016), deep residual learning, table 6.

    With 1×1 convolutions as shortcuts, depth 32 would have 0.467 and depth 56 0.856 million.
    """
    digits = 1 if millions > 1 else 2
    assert round(count("resnet", 3, 32, depth=depth) / 1e6, digits) == millions


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("resnet", {"depth": 18}, 11_173_962),
        ("resnet", {"depth": 34}, 21_282_122),
        ("resnet", {"depth": 50}, 23_520_842),
        ("vgg", {"depth": 11}, 9_231_114),
        ("vgg", {"depth": 13}, 9_416_010),
        ("vgg", {"depth": 16}, 14_728_266),
        ("vgg", {"depth": 19}, 20_040_522),
        # Without the last batch normalisation, which the repository leaves out.
        ("preact_resnet", {"depth": 18}, 11_171_146 + 2 * 512),
        ("preact_resnet", {"depth": 34}, 21_279_306 + 2 * 512),
        ("preact_resnet", {"depth": 50}, 23_509_066 + 2 * 2048),
    ],
)
def test_parameters_are_those_of_pytorch_cifar(name: str, options: dict[str, Any], published: int):
    """The networks of github.com/kuangliu/pytorch-cifar, with ten classes."""
    assert count(name, 3, 32, **options) == published


def test_wide_resnet_has_the_published_number_of_parameters():
    """Li et al. (2020), practical lottery ticket hypothesis, table 4: WideResNet-34-10 and -10-10.

    Zagoruyko and Komodakis (2016), wide residual networks, table 4: 36.5 M for 28-10.
    """
    assert count("wide_resnet", 3, 32) == 46_160_474
    assert count("wide_resnet", 3, 32, depth=10) == 7_435_354
    assert round(count("wide_resnet", 3, 32, depth=28) / 1e6, 1) == 36.5


def test_customized_cnn_has_the_parameters_of_the_table():
    """GLL paper, table 1, on Fashion-MNIST; then the classifier."""
    encoder = (9 + 1) * 64 + (9 * 64 + 1) * 128 + (9 * 128 + 1) * 256 + (256 * 49 + 1) * 128
    assert count("customized_cnn", 1, 28) == encoder + 129 * 10


def test_a_linear_layer_after_the_mean_gives_the_features_of_the_gll_paper():
    """GLL paper, table 2: 512 or 2048 → 128, with ReLU."""
    for depth, mean in ((18, 512), (50, 2048)):
        network = build("resnet", depth, feature_size=128)
        features = network(images(3, 8).test.x)
        assert features.shape == (20, network.feature_size) == (20, 128)
        assert (features >= 0).all()
        plain = count("resnet", 3, 32, depth=depth)
        longer = count("resnet", 3, 32, depth=depth, feature_size=128)
        assert longer - plain == (mean + 1) * 128 - (mean - 128) * 10


@pytest.mark.parametrize(
    ("name", "depth"),
    [("resnet", 18), ("resnet", 20), ("resnet", 50), ("preact_resnet", 18), ("preact_resnet", 50)],
)
def test_features_by_hand(name: str, depth: int):
    network = build(name, depth, 9, 12).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data += torch.rand(parameter.shape, generator=generator) / 2
    x = images(3, 9, 12).test.x[:6].double()
    expected = features_by_hand(network[0](x), network.parameters(), depth, name != "resnet")
    torch.testing.assert_close(network(x), expected)


def test_convex_blocks_give_half_of_the_sum():
    plain, convex = (build("preact_resnet", 18, combination=kind) for kind in ("sum", "convex"))
    x = torch.randn(5, 64, 8, 8, generator=torch.Generator().manual_seed(2))
    for one, other in zip(list(plain)[2:10], list(convex)[2:10], strict=True):
        torch.testing.assert_close(other(x), one(x) / 2)
        x = one(x)
    assert x.shape == (5, 512, 1, 1)


@pytest.mark.parametrize(("name", "depth"), EVERY)
def test_each_relu_runs_once_in_the_order_of_the_modules(name: str, depth: int):
    """A depth of VGG has three linear layers, one of a wide network three shortcuts."""
    network = build(name, depth, 16)
    relus = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    ran: list[nn.Module] = []
    sizes: list[int] = []
    for relu in relus:
        relu.register_forward_hook(lambda module, *_: ran.append(module))
    with observing_relus(network, lambda _, after: sizes.append(after.shape[-1])):
        network(images(3, 16).test.x[:4])
    assert ran == relus
    assert len(relus) == depth - (1 if name in ("resnet", "preact_resnet") else 3)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("name", "depth"), [*EVERY, ("customized_cnn", None)])
def test_gradient_reaches_every_parameter(name: str, depth: int | None):
    """In evaluation, as batch normalisation takes away what a bias before it adds."""
    network = build(name, depth).double().eval()
    x = images(3, 8).test.x[:4].double()
    network(x).square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (28, 28), (40, 33)])
@pytest.mark.parametrize(("name", "depth"), [("vgg", 11), ("resnet", 20), ("customized_cnn", None)])
def test_images_of_other_sizes_pass(name: str, depth: int | None, size: tuple[int, int]):
    network = build(name, depth, *size)
    features = network(images(3, *size).test.x)
    assert features.shape == (20, network.feature_size)
    assert features.isfinite().all()


def test_rounding_sizes_up_changes_no_vgg_on_images_of_cifar():
    network, floored = (build("vgg", 11, 32) for _ in range(2))
    for layer in floored:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = False
    x = images(3, 32).test.x
    assert torch.equal(network(x), floored(x))


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("resnet", 8), ("preact_resnet", 8), ("vgg", 8), ("wide_resnet", 8), ("customized_cnn", 4)],
)
def test_vectors_and_tiny_images_are_refused_with_the_remedy(name: str, smallest: int):
    with refused(ValueError, f"{name}:", "(2,) from two_moons", "mlp"):
        create("backbones", name).build(small_task())
    tiny = images(3, smallest, smallest - 1)
    with refused(ValueError, "from random", f"at least {smallest}×{smallest}"):
        create("backbones", name).build(tiny)


def test_a_depth_of_broken_blocks_is_refused():
    with refused(ValidationError, "received 20"):
        create("backbones", "wide_resnet", depth=20)
