"""The pre-activation residual networks of the papers."""

from typing import Literal

from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.backbones._residual import Combination, build_residual, imagenet_network
from lapbench.methods.base.backbone import Backbone


@validated
class PreActResNet(Backbone):
    """Residual network, batch normalisation and ReLU before convolutions, for images from 8×8.

    The stages are those of ``resnet`` of the same depth; batch normalisation and ReLU also precede
    the mean over the image. It has ``depth`` − 1 ReLUs. Prefer ``small_resnet`` for small machines.
    Because of the batch normalisation, features in training depend on all the samples of a batch.

    Args:
        depth: convolutions, shortcuts aside, and the classifier.
        combination: how a block joins its summands: ``"sum"`` s(x) + F(x), or ``"convex"``
            ½ s(x) + ½ F(x), the convexity constraint of Parseval networks.

    Source: He et al. (2016), identity mappings in deep residual networks, with its last batch
    normalisation and ReLU, for which the code of the label-smoothness paper has a ReLU alone.
    Label-smoothness paper, appendix A (convexity constraint) and C; sparse-manifold paper, appendix
    B; GLL paper, section 4.3.3; WNLL paper, table 3.

    """

    depth: Literal[18, 34, 50] = 18
    combination: Combination = "sum"

    def build(self, task: Task) -> nn.Module:
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 8×8 pixels.

        """
        network = imagenet_network(self.depth, "before", self.combination)
        return build_residual(network, "preact_resnet", task)
