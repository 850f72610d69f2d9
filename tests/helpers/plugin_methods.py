"""A plug-in with a graph head, a head on edges and an attack, which know lapbench.plugin alone."""

from collections.abc import Iterator
from copy import copy
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from lapbench.methods.graph import GraphLearningLayer
from lapbench.plugin import (
    Candidate,
    GradientAttack,
    GradientKind,
    HasBaseSet,
    HasExactGradient,
    Head,
    HoldsOut,
    Level,
    LinearModel,
    Model,
    Split,
    StepCounts,
    Target,
    Task,
    UsesEdges,
    ascend,
    column,
    draw_per_class,
    validated,
)


@validated
class Vote(Head):
    """Neighbours vote in feature space; trained through a linear surrogate."""

    gradient_kind: ClassVar[GradientKind] = "surrogate"
    batch_dependent: ClassVar[bool] = True

    k: int = 8
    per_class: int = 10

    def build(self, backbone: nn.Module, task: Task) -> Model:
        return _Vote(self, backbone, task)


class _Vote(LinearModel, HoldsOut, HasBaseSet, HasExactGradient):
    def __init__(self, head: Vote, backbone: nn.Module, task: Task) -> None:
        super().__init__(backbone, task.num_classes)
        self.head, self.samples, self.classes = head, task.train, task.num_classes
        self.layer = GraphLearningLayer(head.k)
        self.rows: Tensor = torch.empty(0, dtype=torch.int64)

    def with_rows(self, rows: Tensor) -> Self:
        self.rows = rows
        self.base = Split(self.samples.x[rows], self.samples.y[rows])
        return self

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        rows = draw_per_class(task.train.y, self.head.per_class, rng)
        return self.with_rows(rows).rows

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        self.start_epoch(task, rng)

    def exact(self, x: Tensor) -> Tensor:
        features = self.features(torch.cat([self.base.x, x]))
        labels = nn.functional.one_hot(self.base.y, self.classes).to(features.dtype)
        values: Tensor = self.layer(features, labels)
        return values.clamp_min(1e-4).log().log_softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        linear = super().forward(x)
        with torch.no_grad():
            values = self.exact(x)
        return values + linear - linear.detach()

    def with_cached_base_set(self) -> Model:
        return self

    def with_resampled_base_set(self, task: Task, rng: np.random.Generator) -> Model:
        return copy(self).with_rows(draw_per_class(task.train.y, self.head.per_class, rng))

    def get_extra_state(self) -> dict[str, Tensor]:
        return {"rows": self.rows}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.with_rows(state["rows"])


@validated
class Spread(Head):
    """A linear classifier whose scores each node shares with its neighbours."""

    gradient_kind: ClassVar[GradientKind] = "autograd"
    batch_dependent: ClassVar[bool] = True

    closed: bool = False

    def build(self, backbone: nn.Module, task: Task) -> Model:
        return _Spread(self, backbone, task)


class _Spread(LinearModel, UsesEdges):
    def __init__(self, head: Spread, backbone: nn.Module, task: Task) -> None:
        super().__init__(backbone, task.num_classes)
        assert task.edge_index is not None
        self.edge_index = task.edge_index
        self.refuses_new_edges = "its edges are counted" if head.closed else ""

    def outputs(self, features: Tensor) -> Tensor:
        scores = super().outputs(features)
        i, j = self.edge_index
        return scores.index_add(0, i, scores[j]).index_add(0, j, scores[i])


@validated(kw_only=True)
class Walk(GradientAttack):
    """Steps along the sign of the gradient from a random start."""

    iterates: ClassVar[bool] = True
    starts_at_random: ClassVar[bool] = True

    steps: StepCounts
    base_sets: int = 1

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:
        for epsilon in self.epsilons:
            ball = target.ball(x, epsilon, self.norm, self.units)
            path = ascend(
                lambda z: target.gradient(z, y, self.gradient, self.base_sets),
                ball,
                torch.where(column(y >= 0, x), ball.random(), x),
                epsilon / 4,
                self.steps[-1],
            )
            for step, result in enumerate(path, start=1):
                if step in self.steps:
                    yield Candidate(Level("epsilon", epsilon, step), result)
