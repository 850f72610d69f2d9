"""What a backbone is, and the layer that all of them begin with."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lapbench.datasets.base.task import Task


class Backbone(ABC):
    """A feature extractor: a frozen pydantic dataclass of its sizes, in a file of its name.

    Its module uses distinct ``nn.ReLU`` modules, each once and none in place: terms observe them.
    """

    @abstractmethod
    def build(self, task: Task) -> nn.Module:
        """A module from inputs (n, …) to features (n, d), with ``feature_size`` = d."""


def image_shape(backbone: str, task: Task, smallest: int) -> tuple[int, int, int]:
    """Channels, height and width of a task's images.

    Args:
        backbone: its name, for the message.
        task: whose inputs are to be images.
        smallest: height and width that the backbone needs at least.

    Raises:
        ValueError: if the inputs are not images, or smaller.

    """
    shape = task.input_shape
    if len(shape) != 3 or min(shape[1:]) < smallest:
        raise ValueError(
            f"{backbone}: received inputs of shape {shape} from {task.name}; must be images "
            f"(channels, height, width) of at least {smallest}×{smallest} pixels; use mlp for "
            "vectors and smaller images"
        )
    channels, height, width = shape
    return channels, height, width


class Normalize(nn.Module):
    """Subtract the training mean and divide by the training standard deviation.

    Per channel for images, per coordinate for vectors; a constant coordinate is only centred. It
    is a layer so that attacks act on inputs in their own units.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        axes = (0, *range(2, x.ndim))
        deviation = x.std(dim=axes, keepdim=True, correction=0)
        self.register_buffer("mean", x.mean(dim=axes, keepdim=True))
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(x − mean) / deviation."""
        return (x - self.mean) / self.deviation


class Features(nn.Sequential):
    """Layers whose output has ``feature_size`` columns."""

    def __init__(self, *layers: nn.Module, feature_size: int) -> None:
        super().__init__(*layers)
        self.feature_size = feature_size
