"""Graphs as published, and the node tasks that are made of them."""

import torch
from torch import Tensor

from lapbench.datasets.base.task import Split, Task


def undirected(edges: Tensor, num_nodes: int) -> Tensor:
    """Each undirected edge once, i < j in ascending order, shape (2, E).

    ``edges`` (2, E') may hold an edge in one direction or both, several times, and self-loops,
    which are left out: the Laplacian does not see them.

    Raises:
        ValueError: if an edge names no node.

    """
    outside = ((edges < 0) | (edges >= num_nodes)).any(dim=0)
    if bool(outside.any()):
        where = int(outside.nonzero()[0, 0])
        raise ValueError(
            f"edges: received {tuple(edges[:, where].tolist())} at {where}; must be pairs of "
            f"nodes 0..{num_nodes - 1}"
        )
    low, high = edges.min(dim=0).values, edges.max(dim=0).values
    pairs = torch.stack((low, high))[:, low < high]
    unique: Tensor = torch.unique(pairs, dim=1)
    return unique


def node_task(name: str, x: Tensor, y: Tensor, edge_index: Tensor, rows: dict[str, Tensor]) -> Task:
    """The task of classifying the nodes of a graph.

    Args:
        name: of the data set.
        x: (n, d) features of all nodes.
        y: (n,) classes of all nodes.
        edge_index: (2, E) as :func:`undirected` gives them.
        rows: disjoint nodes of ``"inner"`` (V_tr), ``"outer"`` (V_out), ``"validation"`` and
            ``"test"``; training has the first two.

    """

    def known(*parts: str) -> Split:
        there = torch.cat([rows[part] for part in parts])
        labels = torch.full_like(y, -1)
        labels[there] = y[there]
        return Split(x, labels)

    outer = rows["outer"].sort().values
    return Task(
        name,
        train=known("inner", "outer"),
        validation=known("validation"),
        test=known("test"),
        num_classes=int(y.max()) + 1,
        edge_index=edge_index,
        outer=outer,
        outer_labels=y[outer],
    )
