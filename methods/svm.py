"""The support vector machine as output activation."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import GradientKind, Model
from lapbench.methods.softmax import LinearModel


@validated
class SVM(Head):
    r"""Linear scores and the multi-class hinge loss: the WNLL paper's second baseline.

    .. math:: \frac1n \sum_i \frac1c \sum_{j \ne y_i} \max(0, m - s_{i y_i} + s_{ij})^p

    for scores s = W f(x) + b of shape (n, c). The penalty ‖W‖² of a support vector machine is the
    budget's weight decay. Probabilities are softmax(s); the loss does not calibrate them.

    Args:
        margin: m > 0.
        power: p, 1 for the hinge loss, 2 for its square.

    Source: WNLL paper, section 4.2; Tang, "Deep learning using linear support vector machines",
    2013, with the joint multi-class loss for one-vs-rest.

    """

    gradient_kind: ClassVar[GradientKind] = "autograd"

    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    power: Literal[1, 2] = 1

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """The backbone followed by a linear layer."""
        return _SVMModel(backbone, self, task.num_classes)


class _SVMModel(LinearModel):
    def __init__(self, backbone: nn.Module, head: SVM, num_classes: int) -> None:
        super().__init__(backbone, num_classes)
        self.head = head

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        scores, known = self.outputs(self.features(x)), y >= 0
        if not bool(known.any()):
            return 0 * scores.sum()
        total = functional.multi_margin_loss(
            scores[known], y[known], self.head.power, self.head.margin, reduction="sum"
        )
        return total / int(known.sum())
