"""The network of the two-moons experiment."""

from typing import Annotated

from pydantic import Field
from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone, Features, Normalize


@validated
class MLP(Backbone):
    """Three linear layers with ReLU between them, for vectors and small images.

    Args:
        width: size of the two hidden layers.
        feature_size: size of the output.

    Source: GLL paper, section 4.1 (width 64, output size 2).

    """

    width: Annotated[int, Field(ge=1)] = 64
    feature_size: Annotated[int, Field(ge=1)] = 64

    def build(self, task: Task) -> nn.Module:
        """The network for the task's inputs, flattened."""
        inputs = task.train.x[0].numel()
        return Features(
            Normalize(task.train.x),
            nn.Flatten(),
            nn.Linear(inputs, self.width),
            nn.ReLU(),
            nn.Linear(self.width, self.width),
            nn.ReLU(),
            nn.Linear(self.width, self.feature_size),
            feature_size=self.feature_size,
        )
