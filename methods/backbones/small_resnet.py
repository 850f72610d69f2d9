"""A small residual network, as deep as graph regularisers of all layers need."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lapbench.datasets._task import Task
from lapbench.methods.backbones._protocol import Backbone, Features, Normalize

Combination = Literal["sum", "convex"]

_SMALLEST_IMAGE = 8


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class SmallResNet(Backbone):
    """Pre-activation residual network of two stages, for images of at least 8×8.

    A 3×3 convolution is followed by residual blocks x ↦ s(x) + F(x), where F is twice batch
    normalisation, ReLU, 3×3 convolution, and s is the identity. The second stage has twice the
    channels on half the height and width: the first convolution of its first block has stride 2,
    and there s is a 1×1 convolution of stride 2 after the first ReLU of F. Batch normalisation,
    ReLU and the mean over the image give 2·``width`` features. It has 4·``blocks`` + 1 ReLUs.

    Prefer it to ``small_cnn`` to follow something from layer to layer. Because of the batch
    normalisation, features in training depend on all the samples of a batch.

    Args:
        width: channels of the first stage.
        blocks: residual blocks of each of the two stages.
        combination: how a block joins its summands: ``"sum"`` s(x) + F(x), or ``"convex"``
            ½ s(x) + ½ F(x), the convexity constraint of Parseval networks.

    Source: label-smoothness paper, appendix A (convexity constraint) and C (PreActResNet-18:
    four stages of two blocks, width 64); He et al. (2016), identity mappings in deep residual
    networks.

    """

    width: Annotated[int, Field(ge=1)] = 16
    blocks: Annotated[int, Field(ge=1)] = 2
    combination: Combination = "sum"

    def build(self, task: Task) -> nn.Module:
        """Return the network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are no images, or images below 8×8 pixels.

        """
        shape = task.input_shape
        if len(shape) != 3 or min(shape[1:]) < _SMALLEST_IMAGE:
            raise ValueError(
                f"small_resnet: received inputs of shape {shape} from {task.name}; accepted are "
                "images (channels, height, width) of at least 8×8 pixels; use mlp for vectors and "
                "smaller images"
            )
        narrow, wide = self.width, 2 * self.width
        sizes = [(narrow, narrow)] * self.blocks + [(narrow, wide)]
        sizes += [(wide, wide)] * (self.blocks - 1)
        return Features(
            Normalize(task.train.x),
            _convolution(shape[0], narrow),
            *[_Block(inputs, outputs, self.combination) for inputs, outputs in sizes],
            _activation(wide),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            feature_size=wide,
        )


class _Block(nn.Module):
    """A residual block, which halves height and width where the number of channels changes."""

    def __init__(self, inputs: int, outputs: int, combination: Combination) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.activation = _activation(inputs)
        self.residual = nn.Sequential(
            _convolution(inputs, outputs, stride),
            _activation(outputs),
            _convolution(outputs, outputs),
        )
        self.projection = (
            None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        )
        self.share = 0.5 if combination == "convex" else 1.0

    def forward(self, x: Tensor) -> Tensor:
        activated = self.activation(x)
        shortcut = x if self.projection is None else self.projection(activated)
        summed: Tensor = shortcut + self.residual(activated)
        return self.share * summed


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def _activation(channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
