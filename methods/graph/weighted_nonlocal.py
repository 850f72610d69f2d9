"""The weighted nonlocal Laplacian."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lapbench.methods.graph.equation import Equation, Problem, dirichlet_problem
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import LinearOperator


@dataclass(frozen=True)
class WNLL(Equation):
    r"""The weighted nonlocal Laplacian: Laplace learning with a stronger pull of the labels.

    .. math:: \sum_y c_{xy} (u(x) - u(y)) = f(x), \qquad
              c_{xy} = w(x, y) + (1 + \mu [y \in L]) w(y, x), \qquad \mu = |X| / |L| - 1

    for x off the labelled nodes L, u = g on them. Prefer it to Laplace learning with few labels,
    where their pull on the many others would be lost. Weights are directed: use
    ``NeighborBandwidth`` and ``symmetrize=None``; only w(y, x) is boosted, and boosting the
    symmetrised weight instead is another method. A graph without ``weights_reverse`` is symmetric.

    Source: WNLL paper, eq. 5. The authors' code takes |X|/|L| without the −1.
    """

    directed: ClassVar[bool] = True

    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Return the problem of Laplace learning with the weights c."""
        boost = graph.num_nodes / max(len(labeled), 1) - 1
        template = torch.zeros(graph.num_nodes, dtype=torch.bool, device=labeled.device)
        template[labeled] = True
        i, j = template[graph.edge_index]
        forward = graph.weights
        reverse = forward if graph.weights_reverse is None else graph.weights_reverse
        to_i, to_j = (i & ~j).to(forward.dtype), (j & ~i).to(forward.dtype)
        weights = (1 + boost * to_i) * forward + (1 + boost * to_j) * reverse
        boosted = graph.with_weights(weights)
        operators = [LinearOperator(0.0)]
        return dirichlet_problem(boosted, labels, labeled, source, operators, decays=False)
