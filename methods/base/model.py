"""The classifier that a head makes of a backbone: what every one of them has."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

GradientKind = Literal["exact", "surrogate", "unrolled", "truncated", "implicit", "autograd"]


class Model(nn.Module, ABC):
    """A classifier in training or trained: a backbone and what a head made of it.

    What not every model has is a capability, a class of :mod:`lapbench.methods.base.capabilities`
    to derive from too. State that is no parameter (a base set, say) goes through
    ``get_extra_state``, so that ``torch.load(weights_only=True)`` restores it.
    """

    refuses_terms: ClassVar[str] = ""
    """Why no term can be added to the training; empty where each can."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.mixed_precision = False

    def features(self, x: Tensor) -> Tensor:
        """The features (n, d) of inputs (n, …) that the classifier gets."""
        return self.extract(x)

    def extract(self, x: Tensor) -> Tensor:
        """What the backbone makes of x; graphs and losses have it in float32.

        With ``mixed_precision`` the backbone computes in bfloat16 where autocast does.
        """
        if not self.mixed_precision:
            features: Tensor = self.backbone(x)
            return features
        with torch.autocast(x.device.type, torch.bfloat16):
            features = self.backbone(x)
        return features.float()

    @abstractmethod
    def outputs(self, features: Tensor) -> Tensor:
        """Logits, scores or graph values (n, c) of features (n, d): what terms compare."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (n, c), differentiable in x: what is evaluated."""

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The scalar training loss of a mini-batch, ignoring samples with y = −1."""
