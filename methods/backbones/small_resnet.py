"""A small residual network, as deep as graph regularisers of all layers need."""

from typing import Annotated

from pydantic import Field
from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.backbones._residual import (
    Combination,
    ResidualNetwork,
    ResidualStage,
    build_residual,
)
from lapbench.methods.base.backbone import Backbone


@validated
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
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 8×8 pixels.

        """
        stages = [
            ResidualStage(self.blocks, self.width, 1),
            ResidualStage(self.blocks, 2 * self.width, 2),
        ]
        network = ResidualNetwork(
            self.width, stages, activation="before", combination=self.combination
        )
        return build_residual(network, "small_resnet", task)
