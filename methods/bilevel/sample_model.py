"""Bilevel learning on vectors and images: a graph of backbone features."""

from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.base_set import draw_per_class, order_by_class
from lapbench.methods.base.capabilities import HasBaseSet, HoldsOut
from lapbench.methods.base.model import Model
from lapbench.methods.bilevel.inner import solve_laplacian
from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem
from lapbench.methods.bilevel.learned_graph import degree_penalty, make_graph
from lapbench.methods.bilevel.options import BilevelOptions
from lapbench.methods.graph import knn_graph
from lapbench.methods.softmax import cross_entropy


class SampleModel(Model, HoldsOut, HasBaseSet):
    """A backbone, whose features make the graph, and the weights of its edges."""

    def __init__(self, backbone: nn.Module, head: BilevelOptions, task: Task) -> None:
        super().__init__(backbone)
        size = int(backbone.feature_size)  # type: ignore[arg-type]
        self.head = head
        self.num_classes = task.num_classes
        self.samples = task.train
        self.graph = make_graph(head.graph, 0, size, directed=False)
        self.rows: Tensor | None = None

    def _set_inner(self, rows: Tensor) -> None:
        self.rows = rows
        self.inner = Split(self.samples.x[rows], self.samples.y[rows])
        self.holds_features = False

    def outputs(self, features: Tensor) -> Tensor:
        inner = self.inner.x if self.holds_features else self.features(self.inner.x)
        return self._solve(torch.cat([inner, features]))[0]

    def _solve(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the batch (n, c) and the penalty; nodes are V_tr and the batch."""
        pattern = knn_graph(nodes.detach(), self.head.k).pattern
        weights = self.graph(nodes, pattern.edge_index)
        problem = LaplacianProblem(
            pattern,
            torch.arange(len(self.inner), device=nodes.device),
            self.inner.y,
            self.num_classes,
            self.head.laplacian_strength,
            self.head.ridge,
        )
        start = weights.new_zeros(len(nodes), self.num_classes)
        scores = solve_laplacian(self.head, problem, weights, start, lambda _: None)
        penalty = weights.new_zeros(())
        if self.head.regularization:
            penalty = self.head.regularization * degree_penalty(
                weights, pattern.edge_index, len(nodes)
            )
        return scores[len(self.inner) :], penalty

    def forward(self, x: Tensor) -> Tensor:
        if self.holds_features:
            return torch.log_softmax(self.outputs(self.features(x)), dim=1)
        scores, _ = self._solve(self.features(torch.cat([self.inner.x, x])))
        return torch.log_softmax(scores, dim=1)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        scores, penalty = self._solve(self.features(torch.cat([self.inner.x, x])))
        return cross_entropy(scores, y) + penalty

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:
        if self.rows is None:
            self._set_inner(self._draw(task.train.y, rng))
        assert self.rows is not None
        return self.rows

    def _draw(self, y: Tensor, rng: np.random.Generator) -> Tensor:
        if self.head.inner_per_class == "half":
            return order_by_class(y, rng)[::2].sort().values
        return draw_per_class(y, self.head.inner_per_class, rng)

    def finish(self, task: Task, rng: np.random.Generator) -> None:
        self.start_epoch(task, rng)

    @torch.no_grad()
    def with_cached_base_set(self) -> Model:
        other = copy(self)
        if not self.holds_features:
            other.inner = Split(self.features(self.inner.x), self.inner.y)
            other.holds_features = True
        return other

    def with_resampled_base_set(self, task: Task, rng: np.random.Generator) -> Model:
        other = copy(self)
        other._set_inner(self._draw(task.train.y, rng))
        return other

    def get_extra_state(self) -> dict[str, Tensor]:
        return {} if self.rows is None else {"inner": self.rows}

    def set_extra_state(self, state: Any) -> None:
        if state:
            self._set_inner(state["inner"])
