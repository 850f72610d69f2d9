"""What a method is: a head that turns a backbone into a model, and terms that add to its loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from lapbench.datasets._task import Split, Task
from lapbench.methods._budget import Budget

GradientKind = Literal["exact", "surrogate", "unrolled", "truncated", "implicit", "autograd"]


Stage = Callable[[], dict[str, float] | None]


@plain_dataclass(frozen=True, eq=False)
class Phase:
    """Epochs of training that change some parameters and keep the others as they are.

    Attributes:
        name: for progress and messages.
        budget: of this phase alone; its optimiser and schedule start anew.
        parameters: those that are trained.

    """

    name: str
    budget: Budget
    parameters: Sequence[nn.Parameter]


class Model(nn.Module, ABC):
    """A classifier in training or trained: a backbone and what a head made of it.

    State that is no parameter (a base set, say) goes through ``get_extra_state``, so that
    ``torch.load(weights_only=True)`` restores it.
    """

    refuses_terms: ClassVar[str] = ""
    """Why no term can be added to the training; empty where each can."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.mixed_precision = False

    def features(self, x: Tensor) -> Tensor:
        """Return the backbone's features (n, d) of inputs (n, …)."""
        return self.extract(x)

    def extract(self, x: Tensor) -> Tensor:
        """Return what the backbone makes of x; graphs and losses have it in float32.

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
        """Return logits, scores or graph values (n, c) of features (n, d): what terms compare."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities (n, c), differentiable in x: what is evaluated."""

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar training loss of a mini-batch, ignoring samples with y = −1."""

    def phases(self, budget: Budget) -> list[Phase]:
        """Return the phases of training, whose epochs add up to those of the budget.

        None at all leaves the model as it is, whatever the budget.
        """
        return [Phase("training", budget, list(self.parameters()))]

    def start_phase(self, phase: Phase) -> None:
        """Prepare for a phase; called before its first epoch."""

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        """Prepare for an epoch; return the rows of ``task.train`` to leave out of its batches."""
        return torch.empty(0, dtype=torch.int64)

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        """Fix everything that prediction needs; called once, after the last epoch."""

    def exact(self, x: Tensor) -> Tensor:
        """Return log-probabilities (n, c) with their exact gradient, where forward has another."""
        predicted: Tensor = self(x)
        return predicted

    def progress(self) -> dict[str, Any]:
        """Return what the next epoch depends on beside ``state_dict``, for a checkpoint.

        Tensors, numbers, texts, None, and tables of them.
        """
        return {}

    def resume(self, progress: dict[str, Any]) -> None:
        """Take over what ``progress`` returned, the state being loaded."""

    def fixed(self) -> "Model":
        """Return the trained model with what prediction needs of its base set computed once.

        For attacks, which predict often: parameters and mode must not change while it is used.
        """
        return self

    def redrawn(self, task: Task, rng: np.random.Generator) -> "Model | None":  # noqa: ARG002
        """Return the trained model with another base set; None if it has none that is drawn."""
        return None

    def track(self, task: Task) -> dict[str, float]:  # noqa: ARG002
        """Return numbers of the method's own after an epoch, to be stored as curves."""
        return {}

    def measure(self, split: Split, batch_size: int) -> dict[str, float]:  # noqa: ARG002
        """Return metrics of the method's own for the trained model, beside those of all."""
        return {}

    def arrays(self) -> dict[str, Tensor]:
        """Return arrays of the method's own after an epoch, stored where figures ask for it."""
        return {}

    def stages(self, task: Task) -> dict[str, Stage]:  # noqa: ARG002
        """Return the steps of one forward and backward pass on ``task.train``, to be timed.

        They run in their order, each on what the ones before it left, and may return numbers of
        their own (iterations, say).
        """
        return {}


class Head(ABC):
    """A classifier on top of a backbone: a frozen pydantic dataclass of its hyper-parameters."""

    @property
    @abstractmethod
    def gradient_kind(self) -> GradientKind:
        """How the training gradient is obtained; shown in every table."""

    batch_dependent: ClassVar[bool] = False
    """Whether the prediction of a sample depends on the others of its batch."""

    note: ClassVar[str] = ""
    """What a reader must know of how its rows came about; shown below every table with one."""

    version: ClassVar[int] = 1
    """Raised by hand when the same hyper-parameters give other results."""

    def scaled(self, share: float) -> Self:  # noqa: ARG002
        """Return the head for a share of the training samples; counts of them shrink with them."""
        return self

    @abstractmethod
    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return an untrained model on ``backbone``, whose ``feature_size`` is d."""

    def skip(self, task: Task) -> str | None:  # noqa: ARG002
        """Return why the method does not apply to the task, or None if it does."""
        return None


class Term:
    """Something added to the training of any head: a frozen pydantic dataclass like a head.

    A step minimises ``model.loss(x, y)`` and the penalties of all terms together.
    """

    version: ClassVar[int] = 1
    """Raised by hand when the same hyper-parameters give other results."""

    def skip(self, model: Model) -> str | None:  # noqa: ARG002
        """Return why the term does not apply to the model, or None if it does."""
        return None

    def prepare(self, model: Model) -> None:
        """Change a model that was just built; called once."""

    def penalty(self, model: Model, x: Tensor, y: Tensor, progress: float) -> Tensor:  # noqa: ARG002
        """Return the scalar to be added to the loss of a mini-batch; y = −1 is unknown.

        ``progress`` in [0, 1) is the share of all epochs that are done.
        """
        return x.new_zeros(())

    def after_step(self, model: Model) -> None:
        """Act on the model after a step of the optimiser."""
