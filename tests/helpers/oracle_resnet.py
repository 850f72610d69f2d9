"""Residual networks of the papers by another way: parameters by formula, features by equation."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
NARROW = {20: 3, 32: 5, 44: 7, 56: 9, 110: 18}


def block_parameters(inputs: int, width: int, before: bool, bottleneck: bool, shortcut: int) -> int:
    """Parameters of a residual block: kernels, 2 for each channel that is normalised, shortcut."""
    if bottleneck:
        outputs, kernels = 4 * width, inputs * width + 9 * width**2 + 4 * width**2
        normalized = 2 * width + (inputs if before else outputs)
    else:
        outputs, kernels = width, 9 * inputs * width + 9 * width**2
        normalized = width + (inputs if before else outputs)
    projected = inputs * outputs + (0 if before else 2 * outputs)
    return kernels + 2 * normalized + shortcut * projected


def residual_parameters(
    stem: int, widths: list[int], numbers: Any, before: bool, bottleneck: bool, shortcut: int = 1
) -> int:
    """Parameters of a residual network for colour images and its classifier of ten classes."""
    inputs, total = stem, 27 * stem
    for width, number in zip(widths, numbers, strict=True):
        outputs = 4 * width if bottleneck else width
        changes = shortcut * (inputs != outputs)
        total += block_parameters(inputs, width, before, bottleneck, changes)
        total += (number - 1) * block_parameters(outputs, width, before, bottleneck, 0)
        inputs = outputs
    return total + 2 * (inputs if before else stem) + 10 * inputs + 10


def parameters_by_formula(name: str, depth: int) -> int:
    """Parameters of a network of the papers with ten classes, on colour images."""
    if name == "wide_resnet":
        return residual_parameters(16, [160, 320, 640], 3 * [(depth - 4) // 6], True, False)
    if depth in NARROW:
        return residual_parameters(16, [16, 32, 64], 3 * [NARROW[depth]], False, False, 0)
    before = name == "preact_resnet"
    return residual_parameters(64, [64, 128, 256, 512], BLOCKS[depth], before, depth == 50)


def features_by_hand(x: Tensor, parameters: Iterator[Tensor], depth: int, before: bool) -> Tensor:
    """Features in training mode of normalised images, as He et al. describe the networks."""

    def convolve(z: Tensor, stride: int = 1) -> Tensor:
        kernel = next(parameters)
        return functional.conv2d(z, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def normalize(z: Tensor) -> Tensor:
        weight, bias = next(parameters), next(parameters)
        return functional.batch_norm(z, None, None, weight, bias, training=True)

    x = convolve(x)
    x = x if before else normalize(x).relu()
    narrow = depth in NARROW
    for stage, number in enumerate(3 * [NARROW[depth]] if narrow else BLOCKS[depth]):
        for block in range(number):
            stride = 2 if stage and not block else 1
            strides = [1, stride, 1] if depth == 50 else [stride, 1]
            shape_changes = not block and (stage > 0 or depth == 50)
            first = z = normalize(x).relu() if before else x
            for layer, layer_stride in enumerate(strides):
                if layer:
                    z = normalize(z).relu() if before else z.relu()
                z = convolve(z, layer_stride)
                z = z if before else normalize(z)
            if shape_changes and narrow:
                every_second = x[:, :, ::2, ::2]
                x = torch.cat((every_second, torch.zeros_like(every_second)), dim=1)
            elif shape_changes:
                x = convolve(first, stride)
                x = x if before else normalize(x)
            x = x + z if before else (x + z).relu()
    return (normalize(x).relu() if before else x).mean(dim=(2, 3))
