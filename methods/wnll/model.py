"""The interpolating activation on a backbone, and its training in two stages."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.base_set import order_by_class, parts_with_all_classes
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import (
    HasBaseSet,
    HasCheckpointState,
    HasExactGradient,
    HasNumbers,
    HoldsOut,
    Phase,
    Stage,
    TrainsInPhases,
)
from lapbench.methods.base.model import Model
from lapbench.methods.base.rounds import alternating_budgets
from lapbench.methods.base.stages import StagedPass
from lapbench.methods.graph import NeighborBandwidth, weighted_nonlocal
from lapbench.methods.graph.layer import GraphLearningLayer, log_probabilities, values_of_nodes
from lapbench.methods.softmax import cross_entropy
from lapbench.methods.wnll.metrics import gradient_cosines, majority_vote
from lapbench.methods.wnll.options import WNLLOptions


class WNLLModel(
    Model, TrainsInPhases, HoldsOut, HasBaseSet, HasExactGradient, HasCheckpointState, HasNumbers
):
    """A backbone, a buffer, and its linear and its interpolating branch."""

    def __init__(self, backbone: nn.Module, head: WNLLOptions, task: Task) -> None:
        super().__init__(backbone)
        size = int(backbone.feature_size)  # type: ignore[arg-type]
        buffer = [nn.Linear(size, size), nn.ReLU()] if head.rounds else []
        self.buffer = nn.Sequential(*buffer)
        self.linear = nn.Linear(size, task.num_classes)
        self.head = head
        equation = weighted_nonlocal.WNLL(head.label_weight)
        kernel = NeighborBandwidth(head.bandwidth_rank)
        self.interpolation = GraphLearningLayer(head.k, equation, kernel=kernel)
        self.num_classes = task.num_classes
        self.branch: Literal["linear", "wnll"] = "wnll"
        self.samples = task.train
        self.nodes_only = task.nodes_only
        self.template_half: Tensor | None = None
        none = torch.empty(0, dtype=torch.int64)
        self._set_graph(none, none)

    def _set_graph(self, template: Tensor, unlabeled: Tensor) -> None:
        """Fix by rows of the training samples what is in the graph beside the batch."""
        self.rows = {"template": template, "unlabeled": unlabeled}
        self.template = Split(self.samples.x[template], self.samples.y[template])
        self.unlabeled = self.samples.x[unlabeled]
        self.holds_features = False

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.buffer(self.extract(x))
        return features

    def _embed(self, x: Tensor) -> Tensor:
        """Features of samples in the graph, which may hold them already."""
        return x if self.holds_features else self.features(x)

    def interpolate(self, features: Tensor, template: Split) -> Tensor:
        """Interpolated Ŷ (n, c) at features from a template, with its exact gradient."""
        labels = functional.one_hot(template.y, self.num_classes).to(features.dtype)
        nodes = [self._embed(template.x), features]
        if len(self.unlabeled):
            nodes.append(self._embed(self.unlabeled))
        values: Tensor = self.interpolation(torch.cat(nodes), labels)
        return values[: len(features)]

    def _template_values(self, features: Tensor) -> list[Tensor]:
        """Ŷ (n, c) from each batch of the template."""
        if self.nodes_only:
            return [self._interpolate_nodes(features, part) for part in self._template_parts()]
        x, y = self.template.x, self.template.y
        parts = self._template_parts()
        return [self.interpolate(features, Split(x[part], y[part])) for part in parts]

    def _interpolate_nodes(self, features: Tensor, part: slice) -> Tensor:
        """Ŷ (n, c) at all nodes, of which a part of the template is labelled."""
        labels = functional.one_hot(self.template.y[part], self.num_classes).to(features.dtype)
        rows = self.rows["template"][part]
        return values_of_nodes(self.interpolation, features, labels, rows)

    def _template_parts(self) -> list[slice]:
        return parts_with_all_classes(self.template.y, self.head.template_batch_size)

    def _mean(self, features: Tensor) -> Tensor:
        return torch.stack(self._template_values(features)).mean(dim=0)

    def _surrogate(self, features: Tensor) -> Tensor:
        """Mean Ŷ with the gradient of the linear branch."""
        with torch.no_grad():
            values = self._mean(features)
        linear: Tensor = self.linear(features)
        return values + (linear - linear.detach())  # WNLL eq. 13

    def outputs(self, features: Tensor) -> Tensor:
        if self.branch == "linear":
            logits: Tensor = self.linear(features)
            return logits
        exact = self.head.gradient_kind == "exact"
        return self._mean(features) if exact else self._surrogate(features)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.outputs(self.features(x))
        if self.branch == "linear":
            return torch.log_softmax(outputs, dim=1)
        if self.head.gradient_kind == "exact":
            return log_probabilities(outputs)
        surrogate = torch.log_softmax(outputs, dim=1)
        return log_probabilities(outputs.detach()) + (surrogate - surrogate.detach())  # WNLL eq. 24

    def exact(self, x: Tensor) -> Tensor:
        return log_probabilities(self._mean(self.features(x)))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(self.outputs(self.features(x)), y)

    def phases(self, budget: Budget) -> list[Phase]:
        head = self.head
        if head.rounds == 0 or budget.epochs == 0:
            return []
        phases = []
        for first, second in alternating_budgets(
            budget, head.rounds, head.wnll_share, head.round_factor
        ):
            wnll = replace(
                second,
                batch_size=head.wnll_batch_size,
                learning_rate=head.wnll_learning_rate,
                schedule="constant",
            )
            phases += [
                Phase("linear", first, list(self.parameters())),
                Phase("wnll", wnll, list(self.buffer.parameters())),
            ]
        return phases

    def start_phase(self, phase: Phase) -> None:
        self.branch = "linear" if phase.name == "linear" else "wnll"
        self.template_half = None

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        if self.branch == "linear":
            return torch.empty(0, dtype=torch.int64)
        order = order_by_class(task.train.y, rng)
        if self.template_half is None:
            self.template_half = order[::2]
        half = order[torch.isin(order, self.template_half)]
        first, *_ = parts_with_all_classes(task.train.y[half], self.head.template_batch_size)
        self._set_graph(half[first], half[:0])
        return self.template_half

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        self.branch = "wnll"
        unknown = (task.train.y < 0).nonzero()[:, 0]
        if self.nodes_only:
            unknown = unknown[:0]
        self._set_graph(order_by_class(task.train.y, rng), unknown)

    @torch.no_grad()
    def with_cached_base_set(self) -> Model:
        other = copy(self)
        if not self.nodes_only and not self.holds_features:
            other.template = Split(self.features(self.template.x), self.template.y)
            if len(self.unlabeled):
                other.unlabeled = self.features(self.unlabeled)
            other.holds_features = True
        return other

    def with_resampled_base_set(self, task: Task, rng: np.random.Generator) -> Model:
        other = copy(self)
        other._set_graph(order_by_class(task.train.y, rng)[::2], self.rows["unlabeled"])
        return other

    def measure(self, split: Split, batch_size: int) -> dict[str, float]:
        """Accuracy of the vote if the template has several batches; cosines of the gradients.

        Without a trained linear branch there is no surrogate to compare.
        """
        batches = list(zip(split.x.split(batch_size), split.y.split(batch_size), strict=True))
        metrics = {}
        if len(self._template_parts()) > 1:
            with torch.no_grad():
                given = [majority_vote(self._template_values(self.features(x))) for x, _ in batches]
            right = (torch.cat(given) == split.y)[split.y >= 0]
            metrics["majority_vote_accuracy"] = float(right.double().mean())
        if self.head.rounds:
            losses = (self._both_losses(x, y) for x, y in batches)
            with self._backbone_frozen():
                metrics |= gradient_cosines(losses, next(self.buffer.parameters()))
        return metrics

    @contextmanager
    def _backbone_frozen(self) -> Iterator[None]:
        """Keep nothing of the backbone for a backward pass, which ends in the buffer."""
        trained = [p for p in self.backbone.parameters() if p.requires_grad]
        self.backbone.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)

    def _both_losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Summed loss with exact and with surrogate gradient, and the features X̂."""
        features = self.features(x)
        exact, surrogate = self._mean(features), self._surrogate(features)
        known = int((y >= 0).sum())
        return known * cross_entropy(exact, y), known * cross_entropy(surrogate, y), features

    def stages(self, task: Task) -> dict[str, Stage]:
        with torch.no_grad():
            features = self.features(task.train.x)
        staged = StagedPass(features, task.train.y, self.num_classes)
        return staged.stages(self.interpolation, cross_entropy)

    def checkpoint_state(self) -> dict[str, Any]:
        return {"template_half": self.template_half}

    def resume(self, state: dict[str, Any]) -> None:
        half: Tensor | None = state["template_half"]
        self.template_half = None if half is None else half.to(self.samples.y.device)

    def get_extra_state(self) -> dict[str, Tensor]:
        return self.rows

    def set_extra_state(self, state: Any) -> None:
        self._set_graph(**state)
