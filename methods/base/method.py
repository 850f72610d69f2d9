"""What a method is: a head that turns a backbone into a model, and terms that add to its loss."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from torch import Tensor, nn

from lapbench.datasets.base.task import Task
from lapbench.methods.base.model import GradientKind, Model


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
        """The head for a share of the training samples; counts of them shrink with them."""
        return self

    @abstractmethod
    def build(self, backbone: nn.Module, task: Task) -> Model:
        """An untrained model on ``backbone``, whose ``feature_size`` is d."""

    def skip(self, task: Task) -> str | None:  # noqa: ARG002
        """Why the method does not apply to the task, or None if it does."""
        return None


class Term:
    """Something added to the training of any head: a frozen pydantic dataclass like a head.

    A step minimises ``model.loss(x, y)`` and the penalties of all terms together.
    """

    version: ClassVar[int] = 1
    """Raised by hand when the same hyper-parameters give other results."""

    def skip(self, model: Model) -> str | None:  # noqa: ARG002
        """Why the term does not apply to the model, or None if it does."""
        return None

    def prepare(self, model: Model) -> None:
        """Change a model that was just built; called once."""

    def penalty(self, model: Model, x: Tensor, y: Tensor, share_of_epochs: float) -> Tensor:  # noqa: ARG002
        """The scalar to be added to the loss of a mini-batch; y = −1 is unknown.

        ``share_of_epochs`` in [0, 1) are those that are done, of all epochs.
        """
        return x.new_zeros(())

    def after_step(self, model: Model) -> None:
        """Act on the model after a step of the optimiser."""
