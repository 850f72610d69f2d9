"""No network at all."""

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import nn

from lapbench.datasets._task import Task
from lapbench.methods.backbones._protocol import Backbone, Features


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Identity(Backbone):
    """The inputs themselves, flattened, as features; it has no parameters.

    Prefer it to see what a head does with given features. It does not normalise.
    """

    def build(self, task: Task) -> nn.Module:
        """Return a module that flattens the task's inputs."""
        return Features(nn.Flatten(), feature_size=task.train.x[0].numel())
