"""The graph learning layer, and how its values become probabilities and a loss."""

import warnings
from typing import Literal

import torch
from torch import Tensor, nn

from lapbench.methods.graph.build import knn_graph
from lapbench.methods.graph.equation import Equation
from lapbench.methods.graph.laplace import Laplace
from lapbench.methods.graph.solve_with_adjoint import solve_graph_equation
from lapbench.methods.graph.status import Status
from lapbench.methods.graph.weights import FixedBandwidth, Kernel, SelfTuning

_FLOOR = 1e-8


class GraphLearningLayer(nn.Module):
    """Classify features by solving a graph equation; a layer without parameters.

    Prefer it to a linear classifier where neighbours in feature space say more than half-spaces do.
    Each batch costs a neighbour search and a sparse solve. A prediction depends on all the features
    of the call, so keep batches fixed when you evaluate.

    Args:
        k: true neighbours per node; the GLL paper's 25 counts the node itself and is 24 here.
        equation: graph equation with the labels as boundary values, by default Laplace learning.
        bandwidth: ``"self-tuning"``, or one positive number for all nodes.
        kernel: another weight of edges; the bandwidth then plays no part.

    Raises:
        ValueError: if k is not an integer >= 1, or the bandwidth is neither "self-tuning" nor a
            number from 1e-12 to 1e12.

    Source: GLL paper, sections 2.1, 2.4 and 3.

    """

    def __init__(
        self,
        k: int = 25,
        equation: Equation | None = None,
        bandwidth: float | Literal["self-tuning"] = "self-tuning",
        kernel: Kernel | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"k: received {k!r}; must be an integer >= 1")
        if bandwidth != "self-tuning" and type(bandwidth) not in (int, float):
            raise ValueError(
                f"bandwidth: received {bandwidth!r}; must be 'self-tuning' or a number"
            )
        self.k = k
        self.equation = equation or Laplace()
        radial = SelfTuning() if isinstance(bandwidth, str) else FixedBandwidth(bandwidth)
        self.kernel = kernel or radial

    def forward(self, features: Tensor, base_labels: Tensor) -> Tensor:
        """Solution u (q, c) at the unlabelled rows, differentiable in both arguments.

        Args:
            features: (m + q, d) floating point, the m labelled rows first.
            base_labels: (m, c) finite real numbers, one-hot rows for classification.

        Raises:
            NonFiniteError: if a feature or label is NaN or infinite.
            ValueError: if shapes do not fit.

        Warns:
            RuntimeWarning: if the solve ends with a status other than ``CONVERGED``.

        """
        if not 1 <= len(base_labels) <= len(features):
            raise ValueError(
                f"base_labels: received {len(base_labels)} rows for {len(features)} features; "
                "there must be at least one labelled row, and labelled features come first"
            )
        symmetrize: Literal["max"] | None = None if self.equation.directed else "max"
        graph = knn_graph(features, self.k, self.kernel, symmetrize=symmetrize)
        labeled = torch.arange(len(base_labels), device=features.device)
        solution = solve_graph_equation(graph, base_labels, labeled, self.equation)
        if solution.status is not Status.CONVERGED:
            warnings.warn(f"graph equation {solution.status.value}", RuntimeWarning, stacklevel=2)
        return solution.values[len(base_labels) :]


def values_of_nodes(
    layer: GraphLearningLayer, features: Tensor, labels: Tensor, rows: Tensor
) -> Tensor:
    """Solution u (n, c) at all nodes of features (n, d), with labels (m, c) at m rows."""
    rest = torch.ones(len(features), dtype=torch.bool, device=features.device)
    rest[rows] = False
    solved = layer(torch.cat([features[rows], features[rest]]), labels)
    values = labels.new_zeros(len(features), labels.shape[1])
    return values.index_copy(0, rows, labels).index_copy(0, rest.nonzero()[:, 0], solved)


def log_probabilities(values: Tensor) -> Tensor:
    """Log-probabilities log(max(u, 1e-8) / Σ_c max(u, 1e-8)) of each row of u (n, c).

    With τ > 0 the rows of u do not sum to 1, so u itself is not a probability. The order of the
    classes is that of u.
    """
    clamped = values.clamp_min(_FLOOR)
    return clamped.log() - clamped.sum(dim=1, keepdim=True).log()


def value_loss(values: Tensor, labels: Tensor) -> Tensor:
    """Training loss −mean log(u_y + 1e-8) for u (n, c) and classes (n,).

    On u itself, not on probabilities: normalising u first would remove much of what τ does. Rows
    with class −1 are ignored; without any other the loss is 0.

    Source: the GLL authors' code.
    """
    known = labels >= 0
    # Rounding can make a u that is 0 slightly negative.
    predicted = values[known].gather(1, labels[known, None]).clamp_min(0)
    return -(predicted + _FLOOR).log().sum() / max(int(known.sum()), 1)
