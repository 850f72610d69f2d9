"""One connected graph with labels and a source, for the laws of equations."""

import pytest
import torch
from make_graphs import random
from torch import Tensor

from lapbench.methods.graph import (
    NeighborBandwidth,
    SimilarityGraph,
    Solution,
    knn_graph,
    solve_graph_equation,
)

NODES, LABELED = 20, torch.tensor([2, 5, 11, 17])
LABELS = random(4, 3, seed=1)
ONE_HOT = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
SOURCE = random(NODES, 3, seed=2)


def graph(directed: bool = False) -> SimilarityGraph:
    features = random(NODES, 2, seed=3)
    if directed:
        return knn_graph(features, 6, NeighborBandwidth(3), symmetrize=None)
    return knn_graph(features, 6)


def solve(equation: object, labels: Tensor = LABELS, source: Tensor | None = SOURCE) -> Solution:
    return solve_graph_equation(graph(), labels, LABELED, equation, source)


def only_iterate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve small systems as if they were too large to be factored."""
    monkeypatch.setattr("lapbench.methods.graph.solve.DENSE_UP_TO", 0)
    monkeypatch.setattr("lapbench.methods.graph.solve.RESCUE_UP_TO", 0)
