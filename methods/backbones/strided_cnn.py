"""The small network of the papers on exact verification."""

from typing import Annotated

from pydantic import Field
from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone, Features, Normalize, image_shape


@validated
class StridedCNN(Backbone):
    """Two strided convolutions and a linear layer, for images from 4×4 pixels.

    4×4 kernels, stride 2 and padding 1: each convolution halves height and width. Prefer it where
    accuracy is to be verified: it has few ReLUs and no pooling, and is affine in between.

    Args:
        width: channels of the first convolution; the second has twice as many.
        feature_size: size of the linear layer, after whose ReLU come the features.

    Source: sparse-manifold paper, appendix B. Its "2x2 strided convolutions" are read as stride
    2×2. Kernels and padding are those of the networks from which it differs in the hidden units
    alone (100 there): Wong, Schmidt, Metzen and Kolter, "Scaling provable adversarial defenses",
    NeurIPS 2018; Xiao, Tjeng, Shafiullah and Madry, "Training for faster adversarial robustness
    verification via inducing ReLU stability", ICLR 2019.

    """

    width: Annotated[int, Field(ge=1)] = 16
    feature_size: Annotated[int, Field(ge=1)] = 128

    def build(self, task: Task) -> nn.Module:
        """The network for the task's images (channels, height, width).

        Raises:
            ValueError: if the inputs are not images of at least 4×4 pixels.

        """
        channels, height, width = image_shape("strided_cnn", task, smallest=4)
        return Features(
            Normalize(task.train.x),
            nn.Conv2d(channels, self.width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(self.width, 2 * self.width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * self.width * (height // 4) * (width // 4), self.feature_size),
            nn.ReLU(),
            feature_size=self.feature_size,
        )
