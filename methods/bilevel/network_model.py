"""Bilevel learning on the nodes of a graph, whose inner problem is to train a graph network."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from lapbench.datasets.base.task import Task
from lapbench.methods.base.selection import State
from lapbench.methods.bilevel.inner import solve_network
from lapbench.methods.bilevel.network_problem import (
    GraphNetwork,
    Neighborhood,
    NetworkProblem,
    neighborhood,
)
from lapbench.methods.bilevel.node_model import NodeModel
from lapbench.methods.bilevel.options import BilevelOptions


class NetworkModel(NodeModel):
    """A graph network, whose training is the inner problem."""

    def __init__(self, backbone: nn.Module, head: BilevelOptions, task: Task) -> None:
        super().__init__(head, task)
        self.network = GraphNetwork(backbone, task.num_classes)
        self.network.backbone.edge_index = self.edge_index
        self._start = copy.deepcopy(self.network.state_dict())
        self.reach = int(self.network.backbone.reach or 0)  # type: ignore[arg-type]
        self._solved_for: Tensor | None = None
        self._around = self._neighborhoods(self.x, self.outer)

    def _neighborhoods(self, x: Tensor, rows: Tensor) -> list[Neighborhood]:
        """What the scores on V_tr, at rows and in validation depend on."""
        reach: Any = self.network.backbone.reach
        wanted = (self.inner, rows, self.selection.rows)
        return [neighborhood(nodes, x, self.edge_index, reach) for nodes in wanted]

    def solve(self, head: BilevelOptions, x: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        own = self.is_own(x)
        usual = own and torch.equal(rows, self.outer)
        inner, outer, validation = self._around if usual else self._neighborhoods(x, rows)
        names = [f"network.{name}" for name, _ in self.network.named_parameters()]

        def state(network: Any) -> State:
            return dict(zip(names, network.parameters(), strict=True))

        @torch.no_grad()
        def observe(network: Any) -> None:
            if own and len(self.selection.rows):
                scores = validation.scores(network, weights.detach())
                self.observe(scores, lambda: state(network))

        problem = NetworkProblem(inner, self.labels[self.inner])
        network = copy.deepcopy(self.network)
        network.load_state_dict(self._start)
        solved = solve_network(head, problem, network, weights, observe)
        if own:
            detached = {name: value.detach() for name, value in state(solved).items()}
            self.load_state_dict(detached, strict=False)
            self.solved, self._solved_for = True, weights.detach()
        return outer.scores(solved, weights)

    def restore(self, state: State) -> None:
        super().restore(state)
        self._solved_for = None

    def features(self, x: Tensor) -> Tensor:
        weights = self._solved_for
        if weights is None or not self.is_own(x):
            weights = self.edge_weights(x[: len(self.x)])
        features: Tensor = self.network.backbone(x, None, weights)
        return features

    def outputs(self, features: Tensor) -> Tensor:
        scores: Tensor = self.network.linear(features)
        return scores
