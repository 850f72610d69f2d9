"""What a graph equation is: a problem to be posed on a graph."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import Operator
from lapbench.methods.graph.status import Status


@dataclass(frozen=True, eq=False)
class Problem:
    """An equation on a graph, posed with its boundary values.

    Attributes:
        graph: with float64 weights.
        free: (n,) bool, where the operator acts; elsewhere the values are given.
        given: (n, c) those values, 0 at other nodes; may require gradients.
        source: f, (n, c), may require gradients.
        operators: the last is the equation's; those before it lead to good starting values.
        status: as far as it is known before the solve.
        constant: (n, c) bool, where the solution is known to be the constant that is given; None if
            nowhere.
        finish: differentiable map from the solved values to those of the equation.

    """

    graph: SimilarityGraph
    free: Tensor
    given: Tensor
    source: Tensor
    operators: Sequence[Operator]
    status: Status = Status.CONVERGED
    constant: Tensor | None = None
    finish: Callable[[Tensor], Tensor] = lambda values: values


class Equation(ABC):
    """A graph equation; a frozen dataclass of its parameters."""

    directed: ClassVar[bool] = False
    """Whether w(x, y) and w(y, x) may differ."""

    @abstractmethod
    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Pose the equation on a graph with float64 weights, labels (m, c) and source (n, c)."""


def dirichlet_problem(
    graph: SimilarityGraph,
    labels: Tensor,
    labeled: Tensor,
    source: Tensor,
    operators: Sequence[Operator],
    *,
    decays: bool,
) -> Problem:
    """Pose an equation with the labels as boundary values.

    A component without a labelled node has no unique values unless u decays (τ > 0): it takes the
    label mean.

    Raises:
        ValueError: if no node is labelled and u does not decay.

    """
    if not len(labeled) and not decays:
        raise ValueError(
            "labels: none are given and tau = 0, so u is not unique; label a node, or let tau > 0"
        )
    reached = reached_from(graph, labeled)
    given = label_mean(labels) * ~(reached | decays)[:, None]
    free = (reached | decays).index_fill(0, labeled, False)
    given = given.index_put((labeled,), labels)
    return Problem(graph, free, given, source, operators, disconnected(reached))


def reached_from(graph: SimilarityGraph, labeled: Tensor) -> Tensor:
    """Nodes (n,) with a path of connecting edges to a labelled node."""
    component = graph.components()
    has_label = torch.zeros_like(component, dtype=torch.bool)
    has_label[component[labeled]] = True
    return has_label[component]


def disconnected(reached: Tensor) -> Status:
    """Status of a graph of which these nodes are reached."""
    return Status.CONVERGED if bool(reached.all()) else Status.DISCONNECTED


def label_mean(labels: Tensor) -> Tensor:
    """Mean (c,) of labels (m, c), 0 if there are none."""
    return labels.sum(dim=0) / max(len(labels), 1)


def component_mean(values: Tensor, component: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over its component, for every row of values (r, c).

    Where all weights of a component are 0 (an isolated node's degree) the mean is 0.
    """
    count = int(component.max()) + 1 if len(component) else 0
    total = weights.new_zeros(count).index_add(0, component, weights)
    sums = values.new_zeros(count, values.shape[1])
    sums = sums.index_add(0, component, weights[:, None] * values)
    means: Tensor = sums / torch.where(total > 0, total, 1)[:, None]
    return means[component]


def constant_labels(labels: Tensor, component: Tensor, num_nodes: int) -> Tensor:
    """Whether a column of labels is constant in a component, (n, c).

    Args:
        labels: (m, c).
        component: (m,) of each labelled node.
        num_nodes: n. Row i is about the component named i, False if that has no label.

    """
    rows = component[:, None].expand_as(labels)
    shape = (num_nodes, labels.shape[1])
    high = labels.new_full(shape, -torch.inf).scatter_reduce(0, rows, labels.detach(), "amax")
    low = labels.new_full(shape, torch.inf).scatter_reduce(0, rows, labels.detach(), "amin")
    return high == low


def check_tau(tau: float) -> None:
    """Refuse a τ that is negative or not finite."""
    if not 0 <= tau < float("inf"):
        raise ValueError(f"tau: received {tau}; must be finite and >= 0")
