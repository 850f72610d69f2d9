"""Residual networks: one description of all of them, and the network of a description."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets.base.task import Task
from lapbench.methods.base.backbone import Features, Normalize, image_shape

Combination = Literal["sum", "convex"]

_SMALLEST_IMAGE = 8
_EXPANSION = 4
_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


@dataclass(frozen=True)
class ResidualStage:
    """Residual blocks of one width, the first of which divides height and width by the stride."""

    blocks: int
    width: int
    stride: int


@dataclass(frozen=True)
class ResidualNetwork:
    """A 3×3 convolution, stages of residual blocks, and the mean over the image.

    A block is x ↦ s(x) + F(x). F is two 3×3 convolutions of the stage's width (``"basic"``), or
    1×1, 3×3 and 1×1 convolutions, the last with 4 times the width (``"bottleneck"``). Convolutions
    have no bias. s is the identity but where stride or number of channels change.

    Attributes:
        width: channels of the first convolution.
        stages: in their order.
        activation: batch normalisation and ReLU stand ``"before"`` every convolution of F and
            before the mean, and s, where it is not the identity, follows the first ReLU; or
            ``"after"`` every convolution, where the last ReLU of a block follows the sum.
        block: what F is.
        shortcut: s where shapes change: ``"projection"``, a 1×1 convolution, with batch
            normalisation if activation comes after; or ``"zero-padding"``, every stride-th pixel
            and zeros as further channels, without parameters.
        combination: how a block joins its summands: ``"sum"`` s(x) + F(x), or ``"convex"``
            ½ s(x) + ½ F(x).

    """

    width: int
    stages: Sequence[ResidualStage]
    activation: Literal["before", "after"]
    block: Literal["basic", "bottleneck"] = "basic"
    shortcut: Literal["projection", "zero-padding"] = "projection"
    combination: Combination = "sum"

    def outputs(self, stage: ResidualStage) -> int:
        """The channels after a block of a stage."""
        return stage.width if self.block == "basic" else _EXPANSION * stage.width


def three_stages(blocks: int, width: int) -> list[ResidualStage]:
    """Stages of as many blocks each, of one, two and four times a width."""
    return [
        ResidualStage(blocks, width, 1),
        ResidualStage(blocks, 2 * width, 2),
        ResidualStage(blocks, 4 * width, 2),
    ]


def imagenet_network(
    depth: int, activation: Literal["before", "after"], combination: Combination = "sum"
) -> ResidualNetwork:
    """The network for ImageNet of depth 18, 34 or 50, in its form for small images.

    The first stage has the resolution of the image: there is no max-pooling, and the first
    convolution is 3×3 without stride.

    Source: He et al. (2016), deep residual learning, table 1.
    """
    numbers = zip(_BLOCKS[depth], (64, 128, 256, 512), (1, 2, 2, 2), strict=True)
    return ResidualNetwork(
        width=64,
        stages=[ResidualStage(*stage) for stage in numbers],
        activation=activation,
        block="bottleneck" if depth == 50 else "basic",
        combination=combination,
    )


def build_residual(network: ResidualNetwork, backbone: str, task: Task) -> Features:
    """The network of a description for a task's images.

    Args:
        network: its description.
        backbone: its name, for messages.
        task: of images (channels, height, width).

    Raises:
        ValueError: if the inputs are not images of at least 8×8 pixels.

    """
    channels, *_ = image_shape(backbone, task, _SMALLEST_IMAGE)
    inputs = network.width
    layers: list[nn.Module] = [Normalize(task.train.x), _convolution(channels, inputs, 3)]
    if network.activation == "after":
        layers.append(_activation(inputs))
    for stage in network.stages:
        for number in range(stage.blocks):
            layers.append(_Block(network, stage, inputs, 1 if number else stage.stride))
            inputs = network.outputs(stage)
    if network.activation == "before":
        layers.append(_activation(inputs))
    return Features(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), feature_size=inputs)


class _Block(nn.Module):
    """A residual block; what its network has elsewhere is the identity here."""

    def __init__(
        self, network: ResidualNetwork, stage: ResidualStage, inputs: int, stride: int
    ) -> None:
        super().__init__()
        before = network.activation == "before"
        outputs = network.outputs(stage)
        self.activation = _activation(inputs) if before else nn.Identity()
        first, *others = _convolutions(network, stage, inputs, stride)
        residual: list[nn.Module] = [first]
        for convolution in others:
            residual += [_activation(convolution.in_channels), convolution]
        if not before:
            residual.append(nn.BatchNorm2d(outputs))
        self.residual = nn.Sequential(*residual)
        self.projection: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.projection = _projection(network, inputs, outputs, stride)
        self.share = 0.5 if network.combination == "convex" else 1.0
        self.output = nn.Identity() if before else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        activated = self.activation(x)
        shortcut = x if self.projection is None else self.projection(activated)
        summed: Tensor = shortcut + self.residual(activated)
        output: Tensor = self.output(self.share * summed)
        return output


class _ZeroPadding(nn.Module):
    """Every stride-th pixel of the image, and channels of zeros after its own."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        pixels = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(pixels, (0, 0, 0, 0, 0, self.channels))


def _convolutions(
    network: ResidualNetwork, stage: ResidualStage, inputs: int, stride: int
) -> list[nn.Conv2d]:
    width, outputs = stage.width, network.outputs(stage)
    if network.block == "basic":
        return [_convolution(inputs, width, 3, stride), _convolution(width, outputs, 3)]
    return [
        _convolution(inputs, width, 1),
        _convolution(width, width, 3, stride),
        _convolution(width, outputs, 1),
    ]


def _projection(network: ResidualNetwork, inputs: int, outputs: int, stride: int) -> nn.Module:
    if network.shortcut == "zero-padding":
        return _ZeroPadding(outputs - inputs, stride)
    convolution = _convolution(inputs, outputs, 1, stride)
    if network.activation == "before":
        return convolution
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _activation(channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
