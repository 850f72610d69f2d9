"""No network at all."""

from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone, Features


@validated
class Identity(Backbone):
    """The inputs themselves, flattened, as features; it has no parameters.

    Prefer it to see what a head does with given features. It does not normalise.
    """

    def build(self, task: Task) -> nn.Module:
        """A module that flattens the task's inputs."""
        return Features(nn.Flatten(), feature_size=task.train.x[0].numel())
