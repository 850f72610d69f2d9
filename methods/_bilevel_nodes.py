"""Bilevel learning on the nodes of a graph."""

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lapbench.datasets._task import Split, Task
from lapbench.methods._base_set import order_by_class
from lapbench.methods._bilevel_inner import solve_laplacian
from lapbench.methods._budget import Budget
from lapbench.methods._hypergradients import compare, scarcity
from lapbench.methods._inner_laplacian import LaplacianProblem
from lapbench.methods._learned_graph import degree_penalty, make_graph, within_hops
from lapbench.methods._protocol import Model, Phase, Stage
from lapbench.methods._selection import Selection, State
from lapbench.methods.graph.sparse import EdgePattern
from lapbench.methods.softmax import cross_entropy

if TYPE_CHECKING:
    from lapbench.methods.bilevel import Bilevel


class NodeModel(Model):
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

    def __init__(self, head: "Bilevel", task: Task) -> None:
        super().__init__(nn.Identity())
        assert task.edge_index is not None
        self.head = head
        self.x = task.train.x
        self.num_classes = task.num_classes
        self.inner, self.outer = _divide(head, task)
        self.labels = task.train.y
        self.edge_index = within_hops(task.edge_index, len(self.x), head.power)
        size = self.edge_index.shape[1]
        self.graph = make_graph(head.graph, size, self.x.shape[1], head.directed)
        self.selection = Selection(task.validation)
        self.weights: Tensor | None = None
        self.solved = True
        self.reach = 0
        self._last: State = {}

    @abstractmethod
    def solve(self, head: "Bilevel", x: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        """Solve the inner problem as ``head`` says and return scores at rows.

        The solution is kept, and its iterates are selected from, if x are the task's own inputs.
        """

    def forget(self) -> None:
        """Forget the solution where the next solve would begin with it."""

    def edge_weights(self, x: Tensor) -> Tensor:
        """Return the weights that the graph gives the edges at inputs x (n, d)."""
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
        loss = cross_entropy(self.solve(self.head, x, weights, rows), y[rows])
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
        """Return the accuracy without selection, and the error of the hypergradient."""
        selected, found = copy.deepcopy(self.state_dict()), {}
        if self._last:
            self.restore(self._last)
            known = split.y >= 0
            right = self(split.x)[known].argmax(dim=1) == split.y[known]
            found["last_step_accuracy"] = float(right.double().mean())
            self.restore(selected)
        found |= compare(self)
        self.restore(selected)
        return found

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

    def progress(self) -> dict[str, Any]:
        return {"best": self.selection.best, "selected": self.selection.state}

    def resume(self, progress: dict[str, Any]) -> None:
        self.selection.best, self.selection.state = progress["best"], progress["selected"]

    def arrays(self) -> dict[str, Tensor]:
        return {} if self.weights is None else scarcity(self)


class LaplacianModel(NodeModel):
    """Scores that are smooth on the weighted graph.

    Attributes:
        start, scores: (n, c) where inner steps begin, and the solution kept.
        steps: inner steps that lead to it.

    """

    start: Tensor
    scores: Tensor
    steps: Tensor

    def __init__(self, head: "Bilevel", task: Task) -> None:
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

    def solve(self, head: "Bilevel", x: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
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


def _divide(head: "Bilevel", task: Task) -> tuple[Tensor, Tensor]:
    """Return the nodes V_tr and V_out; without a learned graph, V_tr has all."""
    y = task.train.y
    known = (y >= 0).nonzero()[:, 0]
    if head.graph == "observed":
        return known, known[:0]
    if task.outer is None:
        outer = order_by_class(y, np.random.default_rng(0))[1::2]
    else:
        outer = task.outer[y[task.outer] >= 0]
    if not len(outer):
        raise ValueError(
            f"V_out: {task.name} has no labelled outer node to learn a graph from; accepted is one "
            'or more: use train = "all", or graph = "observed", which needs none'
        )
    inner = known[~torch.isin(known, outer)]
    lacking = set(y[outer].tolist()) - set(y[inner].tolist())
    if lacking:
        raise ValueError(
            f"V_tr: {task.name} has no labelled inner node of class {min(lacking)}, which V_out "
            "has; accepted is one or more of each: raise labeled, or leave it out"
        )
    return inner, outer.sort().values
