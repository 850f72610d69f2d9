"""The graph learning layer: a graph equation as the classifier."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import nn

from lapbench.datasets._task import Task
from lapbench.methods._gll_model import GLLModel
from lapbench.methods._graph_learning_layer import (
    GraphLearningLayer,
    log_probabilities,
    value_loss,
)
from lapbench.methods._protocol import GradientKind, Head, Model

__all__ = ["GLL", "GraphLearningLayer", "log_probabilities", "value_loss"]

Bandwidth = Literal["self-tuning"] | Annotated[float, Field(ge=1e-12, le=1e12)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class GLL(Head):
    """Graph learning layer: a graph PDE as the classifier, with exact adjoint gradients.

    Labelled base samples and the batch are nodes of a k-nearest-neighbour graph of their features;
    Laplace learning from the base labels predicts the batch. The training loss is
    :func:`value_loss`.

    Args:
        k: true neighbours per node; the paper's 25 counts the node itself.
        tau: τ >= 0 in τu + Δu = 0; larger values cluster the features more tightly.
        bandwidth: ``"self-tuning"``, or one positive number.
        base_per_class: labelled samples per class while training; on node tasks it is half of them,
            whatever this says.
        evaluation_base_per_class: labelled samples per class for prediction, or ``"all"`` of the
            training data.
        base_update: the base set of each epoch: that of the first (``"fixed"``), drawn anew
            (``"random"``), or the samples about which the values u of the epoch before are least
            certain, by −Σ_c u_c log u_c (``"entropy"``, eq. 47) or 1 − ‖u‖₂ (``"l2"``, eq. 48);
            ``"entropy-local-max"`` and ``"l2-local-max"`` prefer samples that are the least
            certain of their graph neighbours, which keeps the base samples apart. Ties are broken
            at random: late in training most samples are certain. Scores cost a pass over the
            training samples an epoch, which the time of steps does not show; on node tasks
            accepted are ``"fixed"`` and ``"random"``.
        softmax_share: share of the epochs, the first, in which a linear layer with softmax is
            trained instead; 0.5 and 0.75 are the paper's GLL-50 and GLL-75, 1 predicts by the graph
            from features that softmax learned. Between 0 and 1 each kind has an epoch at least.
            Loss and validation accuracy of both classifiers are then stored after each epoch.

    Source: GLL paper, sections 2, 3 and 4.2, appendix A (which scores all samples together; here
    each class has its share, so that none is lost); loss and normalisation as in the authors' code.

    """

    batch_dependent: ClassVar[bool] = True

    k: Annotated[int, Field(ge=1)] = 25
    tau: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    bandwidth: Bandwidth = "self-tuning"
    base_per_class: Annotated[int, Field(ge=1)] = 10
    evaluation_base_per_class: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    base_update: Literal[
        "random", "fixed", "entropy", "l2", "entropy-local-max", "l2-local-max"
    ] = "random"
    softmax_share: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def gradient_kind(self) -> GradientKind:
        """Exact, unless the graph only predicts."""
        return "autograd" if self.softmax_share == 1 else "exact"

    def scaled(self, share: float) -> Self:
        """Return the head with a share of the base set for prediction, its own in training."""
        count = self.evaluation_base_per_class
        if count == "all":
            return self
        return replace(self, evaluation_base_per_class=max(1, round(share * count)))

    def skip(self, task: Task) -> str | None:
        """Return a reason where scores would choose half of the labelled nodes."""
        if task.nodes_only and self.base_update not in ("fixed", "random"):
            return (
                f"gll: base_update = {self.base_update} chooses few of many samples; on node tasks "
                "half of the labelled nodes are base set"
            )
        return None

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return the backbone followed by the graph learning layer.

        Raises:
            ValueError: if a class has too few training samples for the base sets.

        """
        smallest = int(task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes).min())
        if task.nodes_only and smallest < 2:
            raise ValueError(
                f"gll: the smallest class of {task.name} has {smallest} training nodes; accepted "
                "are 2 or more, as half of them are base set"
            )
        if self.base_per_class >= smallest and not task.nodes_only:
            raise ValueError(
                f"base_per_class: received {self.base_per_class}, but the smallest class of "
                f"{task.name} has {smallest} training samples, and some must stay outside the "
                f"base set; accepted are 1..{smallest - 1}"
            )
        if self.evaluation_base_per_class != "all" and self.evaluation_base_per_class > smallest:
            raise ValueError(
                f"evaluation_base_per_class: received {self.evaluation_base_per_class}, but the "
                f"smallest class of {task.name} has {smallest} training samples; accepted are "
                f"1..{smallest} and 'all'"
            )
        return GLLModel(backbone, self, task)
