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
    learning with few labels, whose pull on the many other nodes would be lost. Weights are
    directed: use ``NeighborBandwidth`` and ``symmetrize=None``. Only w(y, x) is boosted; boosting
    the symmetrised weight is another method. A graph without ``weights_reverse`` is symmetric.

    Args:
        label_weight: μ: ``"ratio - 1"``, the default, is |X|/|L| − 1 as in eq. 5; ``"ratio"`` is
            |X|/|L| as in the authors' code.

    Accuracy on the pixels of MNIST, where the paper prints 97.74 %. The template is the whole
    training set; neighbours are exact; all test images are in one graph. The paper's (m, n) counts
    the point itself, so (30, 15) is k = 29 and rank 14 here:

    ==================== =============== ===========
    (k, rank)            ``"ratio - 1"`` ``"ratio"``
    ==================== =============== ===========
    (29, 14), paper's    97.24 %         97.55 %
    (14, 14)             97.45 %         97.77 %
    (30, 15)             97.20 %         97.55 %
    (15, 15)             97.51 %         97.73 %
    ==================== =============== ===========

    Raises:
        ValueError: if the label weight is not one of these.

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
        """Pose Laplace learning with the weights c."""
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
