"""The weighted nonlocal Laplacian."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lapbench.methods.graph.equation import Equation, Problem, dirichlet_problem
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import LinearOperator


@dataclass(frozen=True)
class WNLL(Equation):
    r"""The weighted nonlocal Laplacian: Laplace learning with a stronger pull of the labels.

    .. math:: \sum_y c_{xy} (u(x) - u(y)) = f(x), \qquad
              c_{xy} = w(x, y) + (1 + \mu [y \in L]) w(y, x)

    for x off the labelled nodes L, u = g on them, with μ about |X|/|L|. Prefer it to Laplace
    learning with few labels, where their pull on the many others would be lost. Weights are
    directed: use ``NeighborBandwidth`` and ``symmetrize=None``; only w(y, x) is boosted, and
    boosting the symmetrised weight instead is another method. A graph without
    ``weights_reverse`` is symmetric.

    Args:
        label_weight: μ, ``"ratio - 1"`` for |X|/|L| − 1, eq. 5 as printed and the default, or
            ``"ratio"`` for |X|/|L|, what the authors' code takes. On the pixels of MNIST (the
            whole training set as template, exact neighbours, all test images at once)
            ``"ratio - 1"`` is right on 97.24 % with the paper's (m, n) = (30, 15) and on 97.45 %
            with (15, 15), ``"ratio"`` on 97.55 % and 97.77 %; the paper prints 97.74 %. Both
            numbers count the point itself, so that the first is k = 29 and rank 14 here; with
            k = 30 and rank 15 it is 97.20 % and 97.55 %, with 15 and 15 97.51 % and 97.73 %.

    Raises:
        ValueError: if the weight of the labels is another.

    Source: WNLL paper, eq. 5, and the authors' code.

    """

    directed: ClassVar[bool] = True

    label_weight: Literal["ratio - 1", "ratio"] = "ratio - 1"

    def __post_init__(self) -> None:
        if self.label_weight not in ("ratio - 1", "ratio"):
            raise ValueError(
                f"label_weight: received {self.label_weight!r}; must be 'ratio - 1' or 'ratio'"
            )

    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Return the problem of Laplace learning with the weights c."""
        ratio = graph.num_nodes / max(len(labeled), 1)
        boost = ratio if self.label_weight == "ratio" else ratio - 1
        template = torch.zeros(graph.num_nodes, dtype=torch.bool, device=labeled.device)
        template[labeled] = True
        i, j = template[graph.edge_index]
        forward = graph.weights
        reverse = forward if graph.weights_reverse is None else graph.weights_reverse
        to_i, to_j = (i & ~j).to(forward.dtype), (j & ~i).to(forward.dtype)
        weights = (1 + boost * to_i) * forward + (1 + boost * to_j) * reverse  # WNLL eq. 5
        boosted = graph.with_weights(weights)
        operators = [LinearOperator(0.0)]
        # WNLL eq. 4
        return dirichlet_problem(boosted, labels, labeled, source, operators, decays=False)
