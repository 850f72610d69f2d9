"""The small residual network, layer by layer."""

from typing import Any

import pytest
import torch
from expect_refusal import refused
from make_cells import create, images, small_task
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets.base.task import Task


def build(task: Task, **options: Any) -> Any:
    """The network with the same random weights at every call, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create("backbones", "small_resnet", **options).build(task).double()


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (28, 28)])
@pytest.mark.parametrize(("width", "blocks"), [(4, 1), (6, 3)])
def test_features_and_activations_are_as_documented(size: tuple[int, int], width: int, blocks: int):
    task = images(3, *size)
    network = build(task, width=width, blocks=blocks)
    assert network.feature_size == 2 * width
    assert network(task.test.x.double()).shape == (20, 2 * width)
    activations = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    assert len(activations) == 4 * blocks + 1


def test_each_activation_is_used_once_in_a_forward_pass():
    task = images(3, 8)
    network = build(task)
    shapes: dict[nn.Module, list[torch.Size]] = {}
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(
                lambda module, _, output: shapes.setdefault(module, []).append(output.shape)
            )
    network(task.test.x.double())
    assert [len(calls) for calls in shapes.values()] == [1] * 9
    maps = [tuple(calls[0][1:]) for calls in shapes.values()]
    assert maps == [(16, 8, 8)] * 5 + [(32, 4, 4)] * 4


def by_hand(x: Tensor, parameters: list[Tensor], share: float, blocks: int) -> Tensor:
    """Features in training mode from weights in the order of the equation in the docstring."""
    left = iter(parameters)

    def activate(z: Tensor) -> Tensor:
        axes = (0, 2, 3)
        centred = z - z.mean(dim=axes, keepdim=True)
        scaled = centred / (centred.square().mean(dim=axes, keepdim=True) + 1e-5).sqrt()
        scale, shift = next(left)[:, None, None], next(left)[:, None, None]
        return (scaled * scale + shift).clamp_min(0)

    deviation = (x - x.mean(dim=(0, 2, 3), keepdim=True)).square().mean(dim=(0, 2, 3), keepdim=True)
    x = (x - x.mean(dim=(0, 2, 3), keepdim=True)) / deviation.sqrt()
    x = functional.conv2d(x, next(left), padding=1)
    for block in range(2 * blocks):
        stride = 2 if block == blocks else 1
        first = activate(x)
        inner = activate(functional.conv2d(first, next(left), stride=stride, padding=1))
        residual = functional.conv2d(inner, next(left), padding=1)
        shortcut = functional.conv2d(first, next(left), stride=2) if stride == 2 else x
        x = share * shortcut + share * residual
    return activate(x).mean(dim=(2, 3))


@pytest.mark.parametrize(("combination", "share"), [("sum", 1.0), ("convex", 0.5)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_features_by_hand(combination: str, share: float, blocks: int):
    task = images(3, 8)
    network = build(task, width=3, blocks=blocks, combination=combination)
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x = task.test.x.double()
    expected = by_hand(x, list(network.parameters()), share, blocks)
    torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-5)


def test_combinations_differ_in_nothing_but_the_factor():
    """The same parameters; a convex block gives ½(a + b) where the other gives a + b."""
    task = images(3, 8)
    plain, convex = (build(task, combination=name) for name in ("sum", "convex"))
    assert plain.state_dict().keys() == convex.state_dict().keys()
    x = torch.randn(5, 16, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    blocks = list(zip(list(plain)[2:6], list(convex)[2:6], strict=True))
    for one, other in blocks:
        torch.testing.assert_close(other(x), one(x) / 2)
        x = one(x)


def test_features_in_evaluation_do_not_depend_on_the_batch():
    task = images(3, 8)
    network = build(task).eval()
    x = task.test.x.double()
    torch.testing.assert_close(network(x)[:3], network(x[:3]))


def test_vectors_and_tiny_images_are_refused_with_the_remedy():
    with refused(ValueError, "small_resnet", "(2,) from two_moons", "mlp"):
        create("backbones", "small_resnet").build(small_task())
    with refused(ValueError, "shape (3, 8, 7) from random", "at least 8×8"):
        create("backbones", "small_resnet").build(images(3, 8, 7))
