"""The weighted nonlocal Laplacian as output activation."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from lapbench.datasets._task import Task
from lapbench.methods._protocol import GradientKind, Head, Model
from lapbench.methods._wnll_model import WNLLModel

PositiveInteger = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class WNLL(Head):
    r"""Weighted nonlocal Laplacian: interpolates labels, trained through a linear surrogate.

    A buffer (linear layer and ReLU) follows the backbone and feeds two branches: a linear layer Ỹ,
    and the interpolation Ŷ of the labels of a template by the weighted nonlocal Laplacian (eq. 5)
    on the graph of (m, n)-nearest neighbours. Training alternates, N rounds of two stages: the
    linear branch with all weights, then the interpolation with the weights of the buffer alone. In
    the second the gradient of the cross-entropy in the buffer's outputs X̂ is

    .. math:: G_{\hat X} = \frac1b (\operatorname{softmax}(\hat Y) - Y) W_L

    for the b interpolated samples and 0 for the template: the derivative at Ỹ := Ŷ, taken back
    through the linear branch (eq. 13). As Ŷ are probabilities already, this loss has the floor
    log(e + c − 1) − 1; the log-likelihood in the tables is that of Ŷ itself.

    On digits the two gradients in the buffer's weights point apart (their cosine, a metric, is
    negative): the exact one also acts through the template, which the surrogate leaves out.

    Half of the labelled training samples, drawn in each round, are template; an epoch uses
    ``template_batch_size`` of them and trains on the other half. For prediction all labelled
    training samples are, in batches that each hold every class in proportion: the probability is
    the mean over them, and the paper's majority vote a metric. Unlabelled training samples join
    the graph in prediction (semi-supervised learning, approach I); on node tasks the graph is that
    of all nodes, the template among them.

    Args:
        k: m, true neighbours of every node; the paper's m counts the node itself.
        bandwidth_rank: n; the distance to the n-th neighbour is the bandwidth. Likewise.
        label_weight: weight of the labels, |X|/|X_te| − 1 (``"ratio - 1"``, eq. 5) or |X|/|X_te|
            (``"ratio"``, the authors' code); on the pixels of MNIST 97.2 % and 97.6 % (figures at
            the graph equation ``WNLL``; suite ``wnll-table2``).
        gradient: of the second stage, ``"surrogate"``, or ``"exact"`` by the adjoint equation. It
            is also that of predictions: the gradient of their negative log-likelihood in an input
            is then the surrogate's too (eq. 24).
        rounds: N; with 0 there is no buffer and no training, and the backbone's features are
            interpolated as they are.
        wnll_share: share of the epochs that the second stages have together, one a round at least.
        wnll_batch_size: samples per step of the second stage.
        wnll_learning_rate: of the second stage, constant.
        round_factor: what each round multiplies the budget's learning rate of the first stage by.
        template_batch_size: labelled samples in a graph at most, or ``"all"``; more where a rare
            class would otherwise be missing from one of them.

    Source: WNLL paper, sections 2 and 3.1 to 3.3, algorithms 1 and 2. Its section 4 has (m, n) =
    (30, 15), N = 2, the factor 1/5, and 400 and 5 epochs a round with batches of 128 and 2,000 and
    rates of 0.05 and 0.0005 (stochastic gradient descent); the defaults here are for small data.

    """

    k: PositiveInteger = 10
    bandwidth_rank: PositiveInteger = 5
    label_weight: Literal["ratio - 1", "ratio"] = "ratio - 1"
    gradient: Literal["surrogate", "exact"] = "surrogate"
    rounds: Annotated[int, Field(ge=0)] = 1
    wnll_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    wnll_batch_size: PositiveInteger = 500
    wnll_learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5e-4
    round_factor: Annotated[float, Field(gt=0, le=1)] = 0.2
    template_batch_size: PositiveInteger | Literal["all"] = 500

    batch_dependent: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> "WNLL":
        if self.bandwidth_rank > self.k:
            raise ValueError(
                f"bandwidth_rank = {self.bandwidth_rank} is above k = {self.k}; lower it too"
            )
        return self

    @property
    def gradient_kind(self) -> GradientKind:
        """The gradient of the second stage; exact where there is no linear branch to lend one."""
        return self.gradient if self.rounds else "exact"

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return the backbone with buffer, linear branch and interpolating branch.

        Raises:
            ValueError: if a class has no labelled training sample, or only one for training.

        """
        counts = task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes)
        needed = 2 if self.rounds else 1
        if int(counts.min()) < needed:
            raise ValueError(
                f"wnll: class {int(counts.argmin())} of {task.name} has {int(counts.min())} "
                f"labelled training samples; accepted are {needed} or more, for the template and "
                "outside it"
            )
        return WNLLModel(backbone, self, task)
