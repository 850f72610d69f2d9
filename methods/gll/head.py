"""The graph learning layer: a graph equation as the classifier."""

from dataclasses import replace
from typing import ClassVar, Self

from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import Model
from lapbench.methods.gll.model import GLLModel
from lapbench.methods.gll.options import GLLOptions


@validated
class GLL(GLLOptions, Head):
    """Graph learning layer: a graph PDE as the classifier, with exact adjoint gradients.

    Labelled base samples and the batch are nodes of a k-nearest-neighbour graph of their features;
    Laplace learning from the base labels predicts the batch. The training loss is
    :func:`~lapbench.methods.graph.layer.value_loss`.

    Options: :class:`~lapbench.methods.gll.options.GLLOptions`.

    Source: GLL paper, sections 2, 3 and 4.2, appendix A. Appendix A scores all samples together;
    here each class has its share, so that none is lost. Loss and normalisation are those of the
    authors' code.

    """

    batch_dependent: ClassVar[bool] = True

    def scaled(self, share: float) -> Self:
        """The head with a share of its base set for prediction, and all of it in training."""
        count = self.evaluation_base_per_class
        if count == "all":
            return self
        return replace(self, evaluation_base_per_class=max(1, round(share * count)))

    def skip(self, task: Task) -> str | None:
        """Skip node tasks where scores would choose half of the labelled nodes."""
        if task.nodes_only and self.base_update not in ("fixed", "random"):
            return (
                f"gll: base_update = {self.base_update} chooses few of many samples; on node tasks "
                "half of the labelled nodes are base set"
            )
        return None

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Put the graph learning layer after the backbone.

        Raises:
            ValueError: if a class has too few training samples for the base sets.

        """
        smallest = int(task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes).min())
        if task.nodes_only and smallest < 2:
            raise ValueError(
                f"gll: the smallest class of {task.name} has {smallest} training nodes; must be 2 "
                "or more, because half of them are the base set; label more nodes"
            )
        if self.base_per_class >= smallest and not task.nodes_only:
            raise ValueError(
                f"base_per_class: received {self.base_per_class}, but the smallest class of "
                f"{task.name} has {smallest} training samples, and some must stay outside the "
                f"base set; must be from 1 to {smallest - 1}"
            )
        if self.evaluation_base_per_class != "all" and self.evaluation_base_per_class > smallest:
            raise ValueError(
                f"evaluation_base_per_class: received {self.evaluation_base_per_class}, but the "
                f"smallest class of {task.name} has {smallest} training samples; must be "
                f"from 1 to {smallest}, or 'all'"
            )
        return GLLModel(backbone, self, task)
