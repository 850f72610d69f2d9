"""The baseline of every table."""

from typing import ClassVar

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets._task import Task
from lapbench.methods._protocol import GradientKind, Head, Model


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Softmax(Head):
    """Linear layer, softmax and cross-entropy: the baseline of every table.

    log p = log softmax(W f(x) + b) for features f(x) of shape (n, d) and weights W of shape (c, d).
    """

    gradient_kind: ClassVar[GradientKind] = "autograd"

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return the backbone followed by a linear layer and softmax."""
        return LinearModel(backbone, task.num_classes)


class LinearModel(Model):
    """A backbone with a linear layer, trained by cross-entropy."""

    def __init__(self, backbone: nn.Module, num_classes: int) -> None:
        super().__init__(backbone)
        self.linear = nn.Linear(int(backbone.feature_size), num_classes)  # type: ignore[arg-type]

    def outputs(self, features: Tensor) -> Tensor:
        """Return Wf + b (n, c) of features f (n, d)."""
        logits: Tensor = self.linear(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-softmax of the outputs (n, c)."""
        return torch.log_softmax(self.outputs(self.features(x)), dim=1)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy over the samples with y != −1."""
        return cross_entropy(self.outputs(self.features(x)), y)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (n, c) and classes y (n,) over those with y != −1.

    Without any known class it is 0.
    """
    total = functional.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
    return total / max(int((y >= 0).sum()), 1)
