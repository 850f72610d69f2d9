"""Backbones for images: published counts of parameters, features by hand, and accepted sizes."""

from itertools import product
from typing import Any

import pytest
import torch
from expect_refusal import refused
from make_cells import create, images, small_task
from oracle_resnet import BLOCKS, NARROW, features_by_hand
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
EVERY: list[tuple[str, Any]] = [(name, n) for name, depths in DEPTHS.items() for n in depths]


def build(name: str, depth: int | None = None, *size: int, **options: Any) -> Any:
    """A backbone for colour images (8×8), with the same weights always; wide ones are narrow."""
    options |= {"depth": depth} if depth else {}
    options |= {"factor": 1} if name == "wide_resnet" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create("backbones", name, **options).build(images(3, *(size or (8,))))


def count(name: str, channels: int = 3, size: int = 32, **options: Any) -> int:
    """Parameters with the softmax head of ten classes."""
    task = images(channels, size)
    with torch.device("meta"):
        model = Softmax().build(create("backbones", name, **options).build(task), task)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "depth", "published"),
    [
        # Of github.com/kuangliu/pytorch-cifar, with ten classes.
        ("resnet", 18, 11_173_962),
        ("resnet", 34, 21_282_122),
        ("resnet", 50, 23_520_842),
        ("vgg", 11, 9_231_114),
        ("vgg", 13, 9_416_010),
        ("vgg", 16, 14_728_266),
        ("vgg", 19, 20_040_522),
        # There without the last batch normalisation.
        ("preact_resnet", 18, 11_171_146 + 2 * 512),
        ("preact_resnet", 34, 21_279_306 + 2 * 512),
        ("preact_resnet", 50, 23_509_066 + 2 * 2048),
        # Of Li et al. (2020), practical lottery ticket hypothesis, table 4.
        ("wide_resnet", 10, 7_435_354),
        ("wide_resnet", 34, 46_160_474),
    ],
)
def test_parameters_are_as_many_as_published(name: str, depth: int, published: int):
    assert count(name, depth=depth) == published


@pytest.mark.parametrize(
    ("name", "depth", "millions"),
    [
        # With 1×1 convolutions as shortcuts, depth 32 would have 0.467 and depth 56 0.856 million.
        *[("resnet", 20, "0.27"), ("resnet", 32, "0.46"), ("resnet", 44, "0.66")],
        *[("resnet", 56, "0.85"), ("resnet", 110, "1.7"), ("wide_resnet", 28, "36.5")],
    ],
)
def test_millions_of_parameters_are_those_of_the_papers(name: str, depth: int, millions: str):
    """WNLL paper, table 1; He et al. (2016), deep residual learning, table 6; Zagoruyko and
    Komodakis (2016), wide residual networks, table 4.
    """
    digits = len(millions.split(".")[1])
    assert f"{count(name, depth=depth) / 1e6:.{digits}f}" == millions


def test_cnns_have_the_parameters_of_the_papers():
    """GLL paper, table 1, on Fashion-MNIST, then the classifier; WNLL paper's code (TRADES)."""
    encoder = (9 + 1) * 64 + (9 * 64 + 1) * 128 + (9 * 128 + 1) * 256 + (256 * 49 + 1) * 128
    assert count("customized_cnn", 1, 28) == encoder + 129 * 10
    assert count("small_cnn", 1, 28) == 312_202


@pytest.mark.parametrize(("depth", "mean"), [(18, 512), (50, 2048)])
def test_a_linear_layer_after_the_mean_gives_the_features_of_the_gll_paper(depth: int, mean: int):
    """GLL paper, table 2: 512 or 2048 → 128, with ReLU."""
    network = build("resnet", depth, feature_size=128)
    features = network(images(3, 8).test.x[:4])
    assert features.shape == (4, network.feature_size) == (4, 128)
    assert (features >= 0).all()
    longer = count("resnet", depth=depth, feature_size=128) - count("resnet", depth=depth)
    assert longer == (mean + 1) * 128 - (mean - 128) * 10


SIZES = [(8, 8), (9, 15), (28, 28), (40, 33)]
SMALL = {"width": 3, "combination": "sum", "blocks": 1}


@pytest.mark.parametrize(
    ("name", "depth", "options"),
    [
        *[("resnet", depth, {}) for depth in (18, 20, 50)],
        *[("preact_resnet", depth, {}) for depth in (18, 50)],
        ("preact_resnet", 18, {"combination": "convex"}),
        ("small_resnet", None, SMALL),
        ("small_resnet", None, SMALL | {"blocks": 2, "combination": "convex"}),
    ],
)
def test_features_by_hand(name: str, depth: int | None, options: dict[str, Any]):
    network = build(name, depth, 9, 12, **options).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data += torch.rand(parameter.shape, generator=generator) / 2
    x = images(3, 9, 12).test.x[:6].double()
    blocks = 2 * (options["blocks"],) if "blocks" in options else ()
    share = 0.5 if options.get("combination") == "convex" else 1.0
    expected = features_by_hand(
        network[0](x), network.parameters(), depth or 0, name != "resnet", blocks, share
    )
    torch.testing.assert_close(network(x), expected)
    network.eval()
    torch.testing.assert_close(network(x)[:3], network(x[:3]))


@pytest.mark.parametrize(
    ("name", "depth", "relus"),
    [
        *[(name, depth, depth - 1 - 2 * (name[0] in "vw")) for name, depth in EVERY],
        ("small_resnet", None, 9),
    ],
)
def test_each_relu_runs_once_in_the_order_of_the_modules(name: str, depth: int, relus: int):
    """A depth of VGG has three linear layers, one of a wide network three shortcuts."""
    network = build(name, depth, 16)
    modules = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    ran: list[nn.Module] = []
    sizes: list[int] = []
    for module in modules:
        module.register_forward_hook(lambda module, *_: ran.append(module))
    with observing_relus(network, lambda _, after: sizes.append(after.shape[-1])):
        network(images(3, 16).test.x[:2])
    assert ran == modules
    assert len(modules) == relus
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("name", "depth"), [*EVERY, ("customized_cnn", None)])
def test_gradient_reaches_every_parameter(name: str, depth: int | None):
    """In evaluation, as batch normalisation takes away what a bias before it adds."""
    network = build(name, depth).double().eval()
    network(images(3, 8).test.x[:2].double()).square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "depth", "size"),
    [
        *product(["vgg"], [11], SIZES),
        *product(["resnet"], [20], SIZES),
        *product(["customized_cnn", "small_resnet"], [None], SIZES),
        *product(["small_cnn"], [None], [(4, 4), *SIZES]),
    ],
)
def test_images_of_other_sizes_pass(name: str, depth: int | None, size: tuple[int, int]):
    network = build(name, depth, *size)
    features = network(images(3, *size).test.x[:3])
    assert features.shape == (3, network.feature_size)
    assert features.isfinite().all()


def test_rounding_sizes_up_changes_no_vgg_on_images_of_cifar():
    network, floored = (build("vgg", 11, 32) for _ in range(2))
    for layer in floored:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = False
    x = images(3, 32).test.x[:4]
    assert torch.equal(network(x), floored(x))


@pytest.mark.parametrize(
    ("name", "smallest"),
    [*[(name, 8) for name in (*DEPTHS, "small_resnet")], ("customized_cnn", 4), ("small_cnn", 4)],
)
def test_vectors_and_tiny_images_are_refused_with_the_remedy(name: str, smallest: int):
    with refused(ValueError, f"{name}:", "(2,) from two_moons", "mlp"):
        create("backbones", name).build(small_task())
    shape = (3, smallest, smallest - 1)
    with refused(ValueError, f"{shape} from random", f"at least {smallest}×{smallest}"):
        create("backbones", name).build(images(*shape))


def test_a_depth_of_broken_blocks_is_refused():
    with refused(ValidationError, "received 20"):
        create("backbones", "wide_resnet", depth=20)
