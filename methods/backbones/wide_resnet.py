"""The wide residual network of the WNLL paper."""

from typing import Annotated

from pydantic import AfterValidator, Field
from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.backbones._residual import ResidualNetwork, build_residual, three_stages
from lapbench.methods.base.backbone import Backbone

_STEM = 16


def _whole_blocks(depth: int) -> int:
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"received {depth}; must be one of 10, 16, 22, 28, 34, … (6·blocks + 4)")
    return depth


@validated
class WideResNet(Backbone):
    """Wide residual network, batch normalisation and ReLU before convolutions, from 8×8 pixels.

    A 3×3 convolution of 16 channels is followed by three stages of (``depth`` − 4)/6 residual
    blocks each, of width 16·``factor`` and two and four times that; batch normalisation, ReLU and
    the mean over the image give 64·``factor`` features. There is no dropout. As built by default
    it has 46 million parameters: prefer it on a GPU, where robustness is trained for.

    Because of the batch normalisation, features in training depend on all the samples of a batch.

    Args:
        depth: convolutions, three shortcuts among them, 6·blocks + 4.
        factor: by which the stages are wider than those of the narrow ``resnet``.

    Source: Zagoruyko and Komodakis (2016), wide residual networks, table 1; WNLL paper, tables 8
    and 9 (WideResNet34-10).

    """

    depth: Annotated[int, AfterValidator(_whole_blocks)] = 34
    factor: Annotated[int, Field(ge=1)] = 10

    def build(self, task: Task) -> nn.Module:
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 8×8 pixels.

        """
        stages = three_stages((self.depth - 4) // 6, _STEM * self.factor)
        network = ResidualNetwork(_STEM, stages, activation="before")
        return build_residual(network, "wide_resnet", task)
