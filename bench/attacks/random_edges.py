"""Edges that are inserted into a graph, or deleted from it, at random."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lapbench.attacks.base.attack import Attack, Candidate, Level
from lapbench.attacks.base.model_changes import predict_changed, predicting_on, using_edges
from lapbench.attacks.base.quantities import Count, Knowledge, Shares
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.nodes import undirected
from lapbench.datasets.base.validated import validated


@validated(kw_only=True)
class RandomEdges(Attack):
    """Edges inserted into the graph, or deleted from it, at random after training.

    ``share`` · E of the E undirected edges are deleted, or as many are inserted between nodes
    without an edge; all choices are equally probable. Inputs stay. A trained network passes its
    messages on the changed graph, and graph methods find neighbours among the resulting features.

    On ``bilevel`` edges have the weights of the learned graph. A function of the features at both
    ends gives weights to new edges too. Where each old edge has a learned weight of its own, new
    edges have none, and insertion is skipped. With ``power`` > 1 the observed graph changes, and
    its power with it. The network is not trained again. Scores that solve a Laplacian problem are
    solved for again, with the changed number of edges |E|.

    Args:
        kind: ``"insertion"`` or ``"deletion"``.
        shares: of the number of edges, in increasing order.
        draws: of edges, over which accuracy is averaged.

    Source: the random baseline of Dai et al., "Adversarial attack on graph structured data", ICML
    2018, with a budget for the whole graph.

    """

    knowledge: ClassVar[Knowledge] = "chance"

    kind: Literal["insertion", "deletion"]
    shares: Shares = Field(default_factory=lambda: [0.05, 0.1, 0.25])
    draws: Count = 10

    def skip(self, target: Target) -> str | None:
        """Skip where there are no edges, that none can come, or that new ones have no weight."""
        task = target.task
        edges = task.edge_index
        if edges is None:
            return f"{task.name} has no graph"
        using = using_edges(target.model)
        if not using:
            return "its network does not use the edges"
        if self.kind == "deletion":
            return None
        if refused := next(filter(None, (part.refuses_new_edges for part in using)), None):
            return refused
        nodes, size = len(task.train), edges.shape[1]
        absent = nodes * (nodes - 1) // 2 - size
        if round(self.shares[-1] * size) > absent:
            return f"only {absent} pairs of nodes of {task.name} have no edge"
        return None

    def perturb(self, target: Target, x: Tensor, y: Tensor) -> Iterator[Candidate]:  # noqa: ARG002
        """Yield the prediction on each draw of a graph, for each share."""
        edges = target.task.edge_index
        assert edges is not None
        for share in self.shares:
            count = round(share * edges.shape[1])
            for _ in range(self.draws):
                with predicting_on(target.model, self._draw(edges, len(x), count)):
                    predicted = predict_changed(target, x)
                yield Candidate(Level("share", share), x, predicted)

    def _draw(self, edges: Tensor, num_nodes: int, count: int) -> Tensor:
        if self.kind == "insertion":
            return inserted(edges, num_nodes, count)
        return deleted(edges, count)


def deleted(edges: Tensor, count: int) -> Tensor:
    """Edges (2, E − count), each set of those that are left being equally probable."""
    order = torch.randperm(edges.shape[1], device=edges.device)
    return edges[:, order[count:].sort().values]


def inserted(edges: Tensor, num_nodes: int, count: int) -> Tensor:
    """Edges (2, E + count), i < j ascending; each set of new ones is equally probable.

    So many pairs without an edge must exist.
    """
    size = edges.shape[1]
    new = edges[:, :0]
    while new.shape[1] < count:
        ends = torch.randint(num_nodes, (2, 2 * count), device=edges.device)
        drawn = undirected(torch.cat((edges, new, ends), dim=1), num_nodes)
        numbers = drawn[0] * num_nodes + drawn[1]
        new = drawn[:, ~torch.isin(numbers, edges[0] * num_nodes + edges[1])]
    chosen = torch.randperm(new.shape[1], device=edges.device)[:count]
    with_new = undirected(torch.cat((edges, new[:, chosen]), dim=1), num_nodes)
    assert with_new.shape[1] == size + count
    return with_new
