"""The baseline of every table."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Features
from lapbench.methods.base.capabilities import HasLayers
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import GradientKind, Model


@validated
class Softmax(Head):
    """Linear layer, softmax and cross-entropy: the baseline of every table.

    log p = log softmax(W f(x) + b) for features f(x) of shape (n, d) and weights W of shape (c, d).
    With a hidden layer of size h, relu(V f(x) + a) of shape (n, h) takes the place of f(x).

    Args:
        hidden_size: h; by default there is no hidden layer.

    Source: GLL paper, section 4.3.3; tables 1 and 2 for the "MLP classifier" (h = 1024 and 32).

    """

    gradient_kind: ClassVar[GradientKind] = "autograd"

    hidden_size: Annotated[int, Field(ge=1)] | None = None

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """The backbone followed by one or two linear layers and softmax."""
        return LinearModel(backbone, task.num_classes, self.hidden_size)


class LinearModel(Model, HasLayers):
    """A backbone with a linear layer, before it a hidden one or none, trained by cross-entropy."""

    def __init__(
        self, backbone: nn.Module, num_classes: int, hidden_size: int | None = None
    ) -> None:
        super().__init__(backbone)
        if not isinstance(backbone, Features):
            self.no_layers = (
                f"the backbone is a {type(backbone).__name__}; must be layers in sequence; "
                "use strided_cnn or mlp"
            )
        size = int(backbone.feature_size)  # type: ignore[arg-type]
        hidden = [nn.Linear(size, hidden_size), nn.ReLU()] if hidden_size else []
        self.hidden = nn.Sequential(*hidden)
        self.linear = nn.Linear(hidden_size or size, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """The features f (n, d) of inputs (n, …), or what a hidden layer makes of them."""
        features: Tensor = self.hidden(self.extract(x))
        return features

    def outputs(self, features: Tensor) -> Tensor:
        """Wf + b (n, c) of features f (n, d)."""
        logits: Tensor = self.linear(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """The log-softmax of the outputs (n, c)."""
        return torch.log_softmax(self.outputs(self.features(x)), dim=1)

    def layers(self) -> list[nn.Module]:
        """The modules of a backbone that is a sequence, and the linear layers after them."""
        return [*self.backbone.children(), *self.hidden, self.linear]

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean cross-entropy over the samples with y != −1."""
        return cross_entropy(self.outputs(self.features(x)), y)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The mean cross-entropy of logits (n, c) and classes y (n,) over those with y != −1.

    Without any known class it is 0.
    """
    total = functional.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
    return total / max(int((y >= 0).sum()), 1)
