"""The residual networks of the GLL and WNLL papers."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.backbones._residual import (
    ResidualNetwork,
    build_residual,
    imagenet_network,
    three_stages,
)
from lapbench.methods.base.backbone import Backbone, Features


@validated
class ResNet(Backbone):
    """Residual network, batch normalisation and ReLU after convolutions, for images from 8×8.

    Depths 18, 34 and 50 are the networks for ImageNet in their form for small images: 3×3
    convolution, four stages of width 64, 128, 256 and 512 (50: four times that after each block),
    no max-pooling, 1×1 convolutions as shortcuts where shapes change. Depths 20, 32, 44, 56 and 110
    are the narrow networks for CIFAR-10: three stages of width 16, 32 and 64, whose shortcuts have
    no parameters: every second pixel, and zeros as further channels. ``depth`` counts convolutions,
    shortcuts aside, and the classifier; without ``feature_size`` there are ``depth`` − 1 ReLUs.

    Prefer ``small_resnet`` for small machines. Because of the batch normalisation, features in
    training depend on all the samples of a batch.

    Args:
        depth: as above.
        feature_size: size of a linear layer with ReLU after the mean over the image; without it
            the features are the mean, of 64, 512 or (50) 2048 channels.

    Source: He et al. (2016), deep residual learning for image recognition, sections 4.1 and 4.2;
    WNLL paper, tables 1 to 4, whose counts of 0.46 M and 0.85 M parameters (depths 32 and 56) only
    shortcuts without parameters give; GLL paper, table 2 (``feature_size`` 128) and section 4.3.3.

    """

    depth: Literal[18, 20, 32, 34, 44, 50, 56, 110] = 18
    feature_size: Annotated[int, Field(ge=1)] | None = None

    def build(self, task: Task) -> nn.Module:
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 8×8 pixels.

        """
        network = build_residual(self._description(), "resnet", task)
        if self.feature_size is None:
            return network
        linear = nn.Linear(network.feature_size, self.feature_size)
        return Features(*network, linear, nn.ReLU(), feature_size=self.feature_size)

    def _description(self) -> ResidualNetwork:
        if self.depth in (18, 34, 50):
            return imagenet_network(self.depth, activation="after")
        stages = three_stages((self.depth - 2) // 6, width=16)
        return ResidualNetwork(16, stages, activation="after", shortcut="zero-padding")
