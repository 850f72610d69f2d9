"""The graph learning layer on a backbone, with its base sets."""

from copy import copy
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.base_set import (
    draw_per_class,
    entropy_score,
    l2_score,
    order_by_class,
    select_per_class,
)
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import (
    HasBaseSet,
    HasCheckpointState,
    HasNumbers,
    HoldsOut,
    Phase,
    Stage,
    TrainsInPhases,
)
from lapbench.methods.base.model import Model
from lapbench.methods.base.rounds import alternating_budgets
from lapbench.methods.base.stages import StagedPass
from lapbench.methods.gll.options import GLLOptions
from lapbench.methods.graph import Laplace, nearest_neighbors
from lapbench.methods.graph.layer import (
    GraphLearningLayer,
    log_probabilities,
    value_loss,
    values_of_nodes,
)
from lapbench.methods.softmax import cross_entropy

_BATCH = 500


class GLLModel(Model, TrainsInPhases, HoldsOut, HasBaseSet, HasCheckpointState, HasNumbers):
    """A backbone, and the graph equation that classifies its features."""

    def __init__(self, backbone: nn.Module, head: GLLOptions, task: Task) -> None:
        super().__init__(backbone)
        self.head = head
        self.num_classes = task.num_classes
        self.samples = task.train
        self.nodes_only = task.nodes_only
        self.layer = GraphLearningLayer(head.k, Laplace(head.tau), head.bandwidth)
        self.base_rows: Tensor | None = None
        self._set_base(torch.empty(0, dtype=torch.int64))
        self.classifier: Literal["softmax", "gll"] = "gll"
        if head.softmax_share > 0:
            self.linear = nn.Linear(int(backbone.feature_size), task.num_classes)  # type: ignore[arg-type]

    def _set_base(self, rows: Tensor) -> None:
        self.rows = rows
        self.base = Split(self.samples.x[rows], self.samples.y[rows])
        self.holds_features = False

    def outputs(self, features: Tensor) -> Tensor:
        if self.classifier == "softmax":
            logits: Tensor = self.linear(features)
            return logits
        if self.nodes_only:
            return values_of_nodes(self.layer, features, self._labels(features), self.rows)
        base = self.base.x if self.holds_features else self.features(self.base.x)
        return self._values(torch.cat([base, features]))

    def solve(self, x: Tensor) -> Tensor:
        """Solution u (n, c) at the inputs x, with the base set as labelled nodes."""
        if self.nodes_only or self.holds_features:
            return self.outputs(self.features(x))
        return self._values(self.features(torch.cat([self.base.x, x])))

    def _values(self, features: Tensor) -> Tensor:
        values: Tensor = self.layer(features, self._labels(features))
        return values

    def _labels(self, features: Tensor) -> Tensor:
        return functional.one_hot(self.base.y, self.num_classes).to(features.dtype)

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
        return [Phase("softmax", first, list(self.parameters())), Phase("gll", second, backbone)]

    def start_phase(self, phase: Phase) -> None:
        self.classifier = "softmax" if phase.name == "softmax" else "gll"

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        update = self.head.base_update
        if self.base_rows is None or update == "random":
            if self.nodes_only:
                self.base_rows = order_by_class(task.train.y, rng)[::2]
            else:
                self.base_rows = draw_per_class(task.train.y, self.head.base_per_class, rng)
        elif update != "fixed":
            self.base_rows = self._least_certain(task.train, rng)
        self._set_base(self.base_rows)
        return self.base_rows if self.classifier == "gll" else self.base_rows[:0]

    @torch.no_grad()
    def _least_certain(self, train: Split, rng: np.random.Generator) -> Tensor:
        """Rows of the next base set, chosen by the values from the present one."""
        self.eval()
        features = torch.cat([self.features(x) for x in train.x.split(_BATCH)])
        labels = self._labels(features)
        assert self.base_rows is not None
        values = values_of_nodes(self.layer, features, labels, self.base_rows)
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
    def with_cached_base_set(self) -> Model:
        other = copy(self)
        if not self.nodes_only and not self.holds_features:
            other.base = Split(self.features(self.base.x), self.base.y)
            other.holds_features = True
        return other

    def with_resampled_base_set(self, task: Task, rng: np.random.Generator) -> Model:
        per_class = self.head.evaluation_base_per_class
        rows = draw_per_class(task.train.y, per_class, rng)
        if len(rows) == int((task.train.y >= 0).sum()):
            # All known samples are the base set: another one is half of them.
            rows = order_by_class(task.train.y, rng)[::2]
        other = copy(self)
        other._set_base(rows)
        return other

    @torch.no_grad()
    def track(self, task: Task) -> dict[str, float]:
        if self.head.softmax_share == 0:
            return {}
        self.eval()
        assert self.base_rows is not None
        outside = task.train.y.index_fill(0, self.base_rows, -1)
        training = self._batches(Split(task.train.x, outside))
        validation = self._batches(task.validation)
        present, curves = self.classifier, {}
        for self.classifier in ("softmax", "gll"):
            losses = [self.loss(part.x, part.y) * int((part.y >= 0).sum()) for part in training]
            curves[f"{self.classifier}_loss"] = float(sum(losses) / int((outside >= 0).sum()))
            if validation:
                right = [(self(p.x).argmax(dim=1) == p.y)[p.y >= 0] for p in validation]
                accuracy = float(torch.cat(right).double().mean())
                curves[f"{self.classifier}_validation_accuracy"] = accuracy
        self.classifier = present
        return curves

    def _batches(self, split: Split) -> list[Split]:
        """Samples of known class in batches; on a node task all nodes in one."""
        known = split.y >= 0
        if self.nodes_only:
            return [split] if bool(known.any()) else []
        x, y = split.x[known].split(_BATCH), split.y[known].split(_BATCH)
        return [Split(*batch) for batch in zip(x, y, strict=True)] if bool(known.any()) else []

    def stages(self, task: Task) -> dict[str, Stage]:
        with torch.no_grad():
            features = self.features(task.train.x)
        staged = StagedPass(features, task.train.y, self.num_classes)
        return staged.stages(self.layer, value_loss)

    def checkpoint_state(self) -> dict[str, Any]:
        return {"base_rows": self.base_rows}

    def resume(self, state: dict[str, Any]) -> None:
        rows: Tensor | None = state["base_rows"]
        self.base_rows = None if rows is None else rows.to(self.samples.y.device)

    def get_extra_state(self) -> dict[str, Tensor]:
        return {"base": self.rows}

    def set_extra_state(self, state: Any) -> None:
        self._set_base(state["base"])
