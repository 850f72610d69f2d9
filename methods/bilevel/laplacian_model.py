"""Bilevel learning on the nodes of a graph, whose inner problem spreads labels over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from lapbench.datasets.base.task import Task
from lapbench.methods.base.capabilities import exchanged
from lapbench.methods.bilevel.inner import solve_laplacian
from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem
from lapbench.methods.bilevel.node_model import NodeModel
from lapbench.methods.bilevel.options import BilevelOptions
from lapbench.methods.graph.sparse import EdgePattern


class LaplacianModel(NodeModel):
    """Scores that are smooth on the weighted graph.

    Attributes:
        start, scores: (n, c) where inner steps begin, and the solution kept.
        steps: inner steps that lead to it.

    """

    start: Tensor
    scores: Tensor
    steps: Tensor

    def __init__(self, head: BilevelOptions, task: Task) -> None:
        super().__init__(head, task)
        self.problem = LaplacianProblem(
            EdgePattern(self.edge_index, len(self.x)),
            self.inner,
            self.labels[self.inner],
            self.num_classes,
            head.laplacian_strength,
            head.ridge,
        )
        shape = (len(self.x), self.num_classes)
        self.register_buffer("start", head.inner_start * torch.randn(shape))
        self.register_buffer("scores", torch.zeros(shape))
        self.register_buffer("steps", torch.tensor(head.steps))

    def solve(self, head: BilevelOptions, x: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        start = self.scores if head.hypergradient == "implicit" else self.start
        own, steps = self.is_own(x), torch.zeros_like(self.steps)

        def observe(values: Tensor) -> None:
            steps.add_(1)
            if own:
                state = {"scores": values.to(x.dtype), "steps": steps}
                self.observe(values[self.selection.rows], lambda: state)

        values = solve_laplacian(head, self.problem, weights, start, observe)
        if own:
            self.scores, self.steps, self.solved = values.detach(), steps, True
        return values[rows]

    def forget(self) -> None:
        self.scores = torch.zeros_like(self.scores)

    def outputs(self, features: Tensor) -> Tensor:
        if self.head.graph != "g2g":
            # Inputs play no part, and the gradient in them is 0.
            return self.scores + 0 * features.sum()
        if self.is_own(features):
            return self.scores
        weights, steps = self.edge_weights(features), int(self.steps)
        return solve_laplacian(self.head.stopped(steps), self.problem, weights, self.start)

    @contextmanager
    def on_edges(self, edges: Tensor) -> Iterator[None]:
        """Solve the inner problem anew on other edges, as its solution is the prediction."""
        with super().on_edges(edges), exchanged(self, "scores", self._solve_anew()):
            yield

    @torch.no_grad()
    def _solve_anew(self) -> Tensor:
        """The scores (n, c) that solve the inner problem on the present edges."""
        problem = replace(self.problem, pattern=EdgePattern(self.edge_index, len(self.x)))
        head = self.head.stopped(int(self.steps))
        return solve_laplacian(head, problem, self.edge_weights(self.x), self.start)
