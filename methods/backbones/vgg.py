"""The VGG networks of the WNLL paper."""

from typing import Literal

from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone, Features, Normalize, image_shape

_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@validated
class VGG(Backbone):
    """Convolutions and max-pooling without shortcuts, in the usual form for CIFAR, from 8×8 pixels.

    Five stages of 3×3 convolutions, each followed by batch normalisation and ReLU, end in
    max-pooling; the mean over the image gives 512 features. Pooling rounds sizes up: at 32×32,
    which it takes to 1×1, that changes nothing, and images of other sizes pass too. The two large
    linear layers of the original are left out, as usual for CIFAR.

    Prefer a residual network where there is no comparison to make with it. Because of the batch
    normalisation, features in training depend on all the samples of a batch.

    Args:
        depth: 11, 13, 16 or 19, the original's count, with its three linear layers.

    Source: Simonyan and Zisserman (2015), very deep convolutional networks, table 1, columns A, B,
    D and E; WNLL paper, table 3.

    """

    depth: Literal[11, 13, 16, 19] = 16

    def build(self, task: Task) -> nn.Module:
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 8×8 pixels.

        """
        inputs, *_ = image_shape("vgg", task, smallest=8)
        layers: list[nn.Module] = [Normalize(task.train.x)]
        for width, convolutions in zip(_WIDTHS, _CONVOLUTIONS[self.depth], strict=True):
            for _ in range(convolutions):
                convolution = nn.Conv2d(inputs, width, 3, padding=1)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        return Features(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), feature_size=inputs)
