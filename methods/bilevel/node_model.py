"""Bilevel learning on the nodes of a graph."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import (
    HasCheckpointState,
    HasNumbers,
    HoldsOut,
    Phase,
    Stage,
    TrainsInPhases,
    UsesEdges,
    exchanged,
)
from lapbench.methods.base.model import Model
from lapbench.methods.base.selection import Selection, State
from lapbench.methods.bilevel.diagnostics import compare_with_implicit, scarcity
from lapbench.methods.bilevel.learned_graph import Refined, degree_penalty, make_graph, within_hops
from lapbench.methods.bilevel.options import BilevelOptions
from lapbench.methods.bilevel.parts import divide_nodes
from lapbench.methods.softmax import cross_entropy


class NodeModel(Model, TrainsInPhases, HoldsOut, HasCheckpointState, HasNumbers, UsesEdges):
    """Edge weights on an observed graph, and the classifier that solves the inner problem on it.

    Attributes:
        inner, outer: nodes V_tr and V_out.
        solved: whether a solution of the present epoch is kept.
        reach: hops that a network sees; 0 where there is no such number.
        edge_index: (2, E) the edges that have a weight.
        weights: (E,) or (2, E) those of the last outer iteration, with its hypergradient.

    """

    refuses_terms = (
        "bilevel on node tasks learns the weights of edges alone, which terms do not regularise"
    )

    def __init__(self, head: BilevelOptions, task: Task) -> None:
        super().__init__(nn.Identity())
        assert task.edge_index is not None
        self.head = head
        self.x = task.train.x
        self.num_classes = task.num_classes
        self.inner, self.outer = divide_nodes(head, task)
        self.labels = task.train.y
        self.edge_index = within_hops(task.edge_index, len(self.x), head.power)
        size = self.edge_index.shape[1]
        self.graph = make_graph(head.graph, size, self.x.shape[1], head.directed)
        if isinstance(self.graph, Refined):
            self.refuses_new_edges = "it learned a weight for each edge, and a new one has none"
        self.selection = Selection(task.validation)
        self.weights: Tensor | None = None
        self.solved = True
        self.reach = 0
        self._last: State = {}

    @abstractmethod
    def solve(self, head: BilevelOptions, x: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        """Solve the inner problem as ``head`` says and return scores at rows.

        The solution is kept, and its iterates are selected from, if x are the task's own inputs.
        """

    def forget(self) -> None:
        """Forget the solution where the next solve would begin with it."""

    def edge_weights(self, x: Tensor) -> Tensor:
        """The weights that the graph gives the edges at inputs x (n, d)."""
        weights: Tensor = self.graph(x, self.edge_index)
        return weights

    def is_own(self, x: Tensor) -> bool:
        """Whether x are the inputs of the task, and no gradient in them is asked for."""
        return not x.requires_grad and torch.equal(x, self.x)

    def forward(self, x: Tensor) -> Tensor:
        if not self.solved and self.is_own(x):
            self._solve_own()
        return torch.log_softmax(self.outputs(self.features(x)), dim=1)

    @torch.no_grad()
    def _solve_own(self) -> None:
        rows = self.outer if len(self.outer) else self.inner
        self.solve(self.head, self.x, self.edge_weights(self.x), rows)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        weights = self.edge_weights(x)
        if weights.requires_grad:
            weights.retain_grad()
        self.weights = weights
        rows = (y >= 0).nonzero()[:, 0]
        loss = cross_entropy(self.solve(self.head, x, weights, rows), y[rows])  # Bilevel eq. 3
        if self.head.regularization:
            penalty = degree_penalty(weights, self.edge_index, len(x))
            loss = loss + self.head.regularization * penalty
        return loss

    def phases(self, budget: Budget) -> list[Phase]:
        learned = list(self.graph.parameters())
        return [Phase("graph", budget, learned)] if learned else []

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        self.solved = False
        return self.inner

    def finish(self, task: Task, rng: np.random.Generator) -> None:  # noqa: ARG002
        self._solve_own()
        self._last = copy.deepcopy(self.state_dict())
        if self.selection.state is not None:
            self.restore(self.selection.state)

    def restore(self, state: State) -> None:
        """Return to a graph and its solution."""
        self.load_state_dict(state, strict=False)

    def observe(self, scores: Tensor, solution: Callable[[], State]) -> None:
        """Let the iterate with these validation scores, and the present graph, be selected."""
        graph = {f"graph.{name}": value for name, value in self.graph.state_dict().items()}
        self.selection.observe(scores, lambda: graph | solution())

    @torch.no_grad()
    def measure(self, split: Split, batch_size: int) -> dict[str, float]:  # noqa: ARG002
        """The accuracy without selection, and the error of the hypergradient."""
        selected, numbers = copy.deepcopy(self.state_dict()), {}
        if self._last:
            self.restore(self._last)
            known = split.y >= 0
            right = self(split.x)[known].argmax(dim=1) == split.y[known]
            numbers["last_step_accuracy"] = float(right.double().mean())
            self.restore(selected)
        numbers |= self.hypergradient_numbers()
        self.restore(selected)
        return numbers

    def stages(self, task: Task) -> dict[str, Stage]:
        if not len(self.outer):
            return {}
        y = torch.full_like(task.train.y, -1)
        y[self.outer] = task.train.y[self.outer]
        state = copy.deepcopy(self.state_dict())

        def find() -> None:
            self.forget()
            self.loss(self.x, y).backward()
            self.restore(state)

        return {"hypergradient": find}

    def checkpoint_state(self) -> dict[str, Any]:
        return {"best": self.selection.best, "selected": self.selection.state}

    def resume(self, state: dict[str, Any]) -> None:
        self.selection.best, self.selection.state = state["best"], state["selected"]

    def arrays(self) -> dict[str, Tensor]:
        if self.weights is None or self.weights.grad is None:
            return {}
        network = self.head.inner == "network"
        return scarcity(
            self.weights,
            self.edge_index,
            len(self.x),
            self.inner,
            self.outer,
            None if network else self.head.laplacian_strength,
            self.reach,
        )

    def hypergradient(
        self, head: BilevelOptions, before_backward: Callable[[], None] = lambda: None
    ) -> Tensor:
        """The gradient (E,) or (2, E) of the loss on V_out in the present edge weights.

        Args:
            head: how the gradient is obtained; the model's solution is replaced.
            before_backward: called when all that the backward pass needs is there.

        """
        with torch.no_grad():
            weights = self.edge_weights(self.x)
        with torch.enable_grad():
            weights.requires_grad_()
            scores = self.solve(head, self.x, weights, self.outer)
            loss = cross_entropy(scores, self.labels[self.outer])
            before_backward()
            (gradient,) = torch.autograd.grad(loss, weights)
        return gradient.double()

    def hypergradient_numbers(self) -> dict[str, float]:
        """Memory, error and cosine of the hypergradient; none without nodes V_out."""
        if not len(self.outer):
            return {}
        head = self.head
        comparable = head.inner == "laplacian" and head.hypergradient != "implicit"
        return compare_with_implicit(
            lambda before_backward: self.hypergradient(head, before_backward),
            (lambda: self.hypergradient(head.implicit())) if comparable else None,
            head.hypergradient,
        )

    @contextmanager
    def on_edges(self, edges: Tensor) -> Iterator[None]:
        """Predict on other edges, with the weights that the learned graph gives them.

        Every edge of a graph that learned one weight for each must be among those it learned.
        """
        edges = within_hops(edges, len(self.x), self.head.power)
        with ExitStack() as stack:
            if isinstance(self.graph, Refined):
                theta = self.graph.of_edges(self.edge_index, edges, len(self.x))
                stack.enter_context(exchanged(self.graph, "theta", theta))
            stack.enter_context(super().on_edges(edges))
            # Weights kept from training are forgotten; predictions find the same ones again.
            self.restore({})
            yield
