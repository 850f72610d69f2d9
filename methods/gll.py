"""The graph learning layer: a graph equation as the classifier."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets._task import Split, Task
from lapbench.methods._base_set import (
    draw_per_class,
    entropy_score,
    l2_score,
    order_by_class,
    select_per_class,
)
from lapbench.methods._graph_learning_layer import (
    GraphLearningLayer,
    log_probabilities,
    value_loss,
)
from lapbench.methods._protocol import Budget, GradientKind, Head, Model, Phase
from lapbench.methods._rounds import alternating_budgets
from lapbench.methods._stages import StagedPass
from lapbench.methods.graph import Laplace, nearest_neighbors
from lapbench.methods.softmax import cross_entropy

__all__ = ["GLL", "GraphLearningLayer", "log_probabilities", "value_loss"]

_BATCH = 500

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
        base_per_class: labelled samples per class while training.
        evaluation_base_per_class: labelled samples per class for prediction, or ``"all"`` of the
            training data.
        base_update: the base set of each epoch: that of the first (``"fixed"``), drawn anew
            (``"random"``), or the samples about which the values u of the epoch before are least
            certain, by −Σ_c u_c log u_c (``"entropy"``, eq. 47) or 1 − ‖u‖₂ (``"l2"``, eq. 48);
            ``"entropy-local-max"`` and ``"l2-local-max"`` prefer samples that are the least
            certain of their graph neighbours, which keeps the base samples apart. Ties are broken
            at random: late in training most samples are certain. Scores cost a pass over the
            training samples an epoch, which the time of steps does not show.
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

    def build(self, backbone: nn.Module, task: Task) -> Model:
        """Return the backbone followed by the graph learning layer.

        Raises:
            ValueError: if a class has too few training samples for the base sets.

        """
        smallest = int(task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes).min())
        if self.base_per_class >= smallest:
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
        return _GLLModel(backbone, self, task)


class _GLLModel(Model):
    def __init__(self, backbone: nn.Module, head: GLL, task: Task) -> None:
        super().__init__(backbone)
        self.head = head
        self.num_classes = task.num_classes
        self.samples = task.train
        self.layer = GraphLearningLayer(head.k, Laplace(head.tau), head.bandwidth)
        self.base_rows: Tensor | None = None
        self._set_base(torch.empty(0, dtype=torch.int64))
        self.classifier: Literal["softmax", "gll"] = "gll"
        if head.softmax_share > 0:
            self.linear = nn.Linear(int(backbone.feature_size), task.num_classes)  # type: ignore[arg-type]

    def _set_base(self, rows: Tensor) -> None:
        self.rows = rows
        self.base = Split(self.samples.x[rows], self.samples.y[rows])

    def outputs(self, features: Tensor) -> Tensor:
        if self.classifier == "softmax":
            logits: Tensor = self.linear(features)
            return logits
        return self._values(torch.cat([self.features(self.base.x), features]))

    def solve(self, x: Tensor) -> Tensor:
        """Return u (n, c) at the inputs x, the base set being labelled."""
        return self._values(self.features(torch.cat([self.base.x, x])))

    def _values(self, features: Tensor) -> Tensor:
        labels = functional.one_hot(self.base.y, self.num_classes).to(features.dtype)
        values: Tensor = self.layer(features, labels)
        return values

    def forward(self, x: Tensor) -> Tensor:
        if self.classifier == "softmax":
            return torch.log_softmax(self.linear(self.features(x)), dim=1)
        values = self.solve(x)
        # With τ > 0 a node that no label reaches has u = 0: all that is known is the label mean.
        mean = self.base.y.bincount(minlength=self.num_classes) / len(self.base)
        unreached = (values == 0).all(dim=1, keepdim=True)
        return log_probabilities(torch.where(unreached, mean.to(values.dtype), values))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        if self.classifier == "softmax":
            return cross_entropy(self.linear(self.features(x)), y)
        return value_loss(self.solve(x), y)

    def phases(self, budget: Budget) -> list[Phase]:
        share = self.head.softmax_share
        backbone = list(self.backbone.parameters())
        if share in (0, 1) or budget.epochs == 0:
            return [Phase("softmax" if share else "gll", budget, list(self.parameters()))]
        ((first, second),) = alternating_budgets(budget, 1, 1 - share)
        return [
            Phase("softmax", first, list(self.parameters())),
            Phase("gll", second, backbone),
        ]

    def start_phase(self, phase: Phase) -> None:
        self.classifier = "softmax" if phase.name == "softmax" else "gll"

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        update = self.head.base_update
        if self.base_rows is None or update == "random":
            self.base_rows = draw_per_class(task.train.y, self.head.base_per_class, rng)
        elif update != "fixed":
            self.base_rows = self._least_certain(task.train, rng)
        self._set_base(self.base_rows)
        return self.base_rows if self.classifier == "gll" else self.base_rows[:0]

    @torch.no_grad()
    def _least_certain(self, train: Split, rng: np.random.Generator) -> Tensor:
        """Return the rows of the next base set, by the values from the present one."""
        self.eval()
        features = torch.cat([self.features(x) for x in train.x.split(_BATCH)])
        rest = torch.ones_like(train.y, dtype=torch.bool)
        rest[self.base_rows] = False
        values = features.new_zeros(len(train), self.num_classes)
        values[self.base_rows] = functional.one_hot(self.base.y, self.num_classes).to(values.dtype)
        values[rest] = self._values(torch.cat([features[self.base_rows], features[rest]]))
        kind, _, local_max = self.head.base_update.partition("-")
        score = entropy_score(values) if kind == "entropy" else l2_score(values)
        neighbors = None
        if local_max:
            neighbors = nearest_neighbors(self.layer.kernel.embed(features), self.head.k).indices
        ties = order_by_class(train.y, rng)
        return select_per_class(train.y, score, self.head.base_per_class, neighbors, ties)

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        self.classifier = "gll"
        self._set_base(draw_per_class(task.train.y, self.head.evaluation_base_per_class, rng))

    @torch.no_grad()
    def track(self, task: Task) -> dict[str, float]:
        if self.head.softmax_share == 0:
            return {}
        self.eval()
        outside = task.train.y >= 0
        outside[self.base_rows] = False
        present, found = self.classifier, {}
        for self.classifier in ("softmax", "gll"):
            x, y = task.train.x[outside].split(_BATCH), task.train.y[outside].split(_BATCH)
            losses = [self.loss(*batch) * len(batch[1]) for batch in zip(x, y, strict=True)]
            found[f"{self.classifier}_loss"] = float(sum(losses) / int(outside.sum()))
            if len(task.validation):
                predicted = torch.cat([self(x) for x in task.validation.x.split(_BATCH)])
                right = predicted.argmax(dim=1) == task.validation.y
                found[f"{self.classifier}_validation_accuracy"] = float(right.double().mean())
        self.classifier = present
        return found

    def stages(self, task: Task) -> dict[str, Callable[[], None]]:
        with torch.no_grad():
            features = self.features(task.train.x)
        staged = StagedPass(features, task.train.y, self.num_classes)
        layer = self.layer
        return staged.stages(layer.k, layer.kernel, layer.equation, value_loss)

    def get_extra_state(self) -> dict[str, Tensor]:
        return {"base": self.rows}

    def set_extra_state(self, state: Any) -> None:
        self._set_base(state["base"])
