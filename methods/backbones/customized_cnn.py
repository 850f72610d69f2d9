"""The customised network of the GLL paper."""

from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone, Features, Normalize, image_shape

_FEATURES = 128


@validated
class CustomizedCNN(Backbone):
    """Three 3×3 convolutions and a large linear layer, for images from 4×4 pixels.

    Convolutions to 64, 128 and 256 channels, padded by 1; 2×2 max-pooling follows the second and
    the third; a linear layer gives 128 features. ReLU follows each of the four. It was designed
    with many parameters and no normalisation, so as to be hard to train: prefer ``small_cnn``.

    Source: GLL paper, section 4.2, table 1, "Feature Encoder".

    """

    def build(self, task: Task) -> nn.Module:
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 4×4 pixels.

        """
        channels, height, width = image_shape("customized_cnn", task, smallest=4)
        return Features(
            Normalize(task.train.x),
            nn.Conv2d(channels, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(128, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256 * (height // 4) * (width // 4), _FEATURES),
            nn.ReLU(),
            feature_size=_FEATURES,
        )
