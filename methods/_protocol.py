"""What a method is: a head that turns a backbone into a trainable model."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lapbench.datasets._task import Task

GradientKind = Literal["exact", "surrogate", "unrolled", "truncated", "implicit", "autograd"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Budget:
    """What every method may spend in training: the same number of epochs.

    Args:
        epochs: passes over the training data; 0 leaves the model as it starts.
        batch_size: samples per step.
        optimizer: ``"adam"`` or ``"sgd"`` (momentum 0.9).
        learning_rate: of the first epoch.
        schedule: ``"constant"``, or ``"cosine"`` from the learning rate to 0 over the epochs.
        weight_decay: L2 penalty of the optimiser.

    """

    epochs: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)] = 200
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Model(nn.Module, ABC):
    """A classifier in training or trained: a backbone and what a head made of it.

    State that is no parameter (a base set, say) goes through ``get_extra_state``, so that
    ``torch.load(weights_only=True)`` restores it.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def features(self, x: Tensor) -> Tensor:
        """Return the backbone's features (n, d) of inputs (n, …)."""
        features: Tensor = self.backbone(x)
        return features

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities (n, c), differentiable in x: what is evaluated."""

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar training loss of a mini-batch, ignoring samples with y = −1."""

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        """Prepare for an epoch; return the rows of ``task.train`` to leave out of its batches."""
        return torch.empty(0, dtype=torch.int64)

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        """Fix everything that prediction needs; called once, after the last epoch."""

    def stages(self, task: Task) -> dict[str, Callable[[], None]]:  # noqa: ARG002
        """Return the steps of one forward and backward pass on ``task.train``, to be timed.

        They run in their order, each on what the ones before it left.
        """
        return {}


class Head(ABC):
    """A classifier on top of a backbone: a frozen pydantic dataclass of its hyper-parameters."""

    gradient_kind: ClassVar[GradientKind]
    """How the training gradient is obtained; shown in every table."""

    version: ClassVar[int] = 1
    """Raised by hand when the same hyper-parameters give other results."""

    @abstractmethod
    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return an untrained model on ``backbone``, whose ``feature_size`` is d."""

    def skip(self, task: Task) -> str | None:  # noqa: ARG002
        """Return why the method does not apply to the task, or None if it does."""
        return None
