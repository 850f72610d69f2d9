"""The small convolutional network of the GLL and WNLL papers."""

from typing import Annotated

from pydantic import Field
from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone, Features, Normalize, image_shape

_SMALLEST_WITHOUT_PADDING = 16


@validated
class SmallCNN(Backbone):
    """Four 3×3 convolutions and two linear layers, for images from 8×8 to 32×32.

    Max-pooling follows the second and the fourth convolution. Convolutions are unpadded from
    16×16 pixels on, so that with a linear classifier of 10 classes on 28×28 grey images it has the
    312,202 parameters of the original; smaller images are padded by 1, or nothing would be left.

    Args:
        width: channels of the first two convolutions; the last two have twice as many.
        feature_size: size of the two linear layers, the second of which gives the features.

    Source: GLL paper, section 4.3.3; "SmallCNN" of the WNLL paper. The third linear layer of the
    original is the softmax head.

    """

    width: Annotated[int, Field(ge=1)] = 32
    feature_size: Annotated[int, Field(ge=1)] = 200

    def build(self, task: Task) -> nn.Module:
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 4×4 pixels.

        """
        inputs, height, width = image_shape("small_cnn", task, smallest=4)
        padding = 0 if min(height, width) >= _SMALLEST_WITHOUT_PADDING else 1
        channels = [inputs, self.width, self.width, 2 * self.width, 2 * self.width]
        layers: list[nn.Module] = [Normalize(task.train.x)]
        for block in (0, 2):
            for layer in (block, block + 1):
                convolution = nn.Conv2d(channels[layer], channels[layer + 1], 3, padding=padding)
                layers += [convolution, nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
            height, width = ((size - 4 + 4 * padding) // 2 for size in (height, width))
        return Features(
            *layers,
            nn.Flatten(),
            nn.Linear(channels[-1] * height * width, self.feature_size),
            nn.ReLU(),
            nn.Linear(self.feature_size, self.feature_size),
            nn.ReLU(),
            feature_size=self.feature_size,
        )
