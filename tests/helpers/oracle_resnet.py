"""Features of the papers' residual networks by their equations."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
NARROW = {20: 3, 32: 5, 44: 7, 56: 9, 110: 18}


def features_by_hand(
    x: Tensor,
    parameters: Iterator[Tensor],
    depth: int,
    before: bool,
    numbers: tuple[int, ...] = (),
    share: float = 1.0,
) -> Tensor:
    """Features in training mode of normalised images, as He et al. describe the networks.

    ``numbers`` of blocks are those of the depth unless they are given; a sum before which all is
    normalised is multiplied by ``share``.
    """

    def convolve(z: Tensor, stride: int = 1) -> Tensor:
        kernel = next(parameters)
        return functional.conv2d(z, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def normalize(z: Tensor) -> Tensor:
        weight, bias = next(parameters), next(parameters)
        return functional.batch_norm(z, None, None, weight, bias, training=True)

    x = convolve(x)
    x = x if before else normalize(x).relu()
    narrow = depth in NARROW
    for stage, number in enumerate(numbers or (3 * [NARROW[depth]] if narrow else BLOCKS[depth])):
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
            x = share * (x + z) if before else (x + z).relu()
    return (normalize(x).relu() if before else x).mean(dim=(2, 3))
