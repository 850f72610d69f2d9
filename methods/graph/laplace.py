"""Laplace learning, with labels held fast or softly."""

from dataclasses import dataclass

from torch import Tensor

from lapbench.methods.graph.equation import (
    Equation,
    Problem,
    check_tau,
    dirichlet_problem,
    disconnected,
    label_mean,
    reached_from,
)
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import LinearOperator


@dataclass(frozen=True)
class Laplace(Equation):
    """Laplace learning: τu + Δu = f off the labelled nodes, u = g on them.

    The first choice for classification. τ = 0 interpolates (maximum principle: u stays between
    the labels, rows of one-hot labels sum to 1); τ > 0 makes u decay away from the labels, which
    clusters learned features more tightly, and rows no longer sum to 1.

    Args:
        tau: τ >= 0.

    Raises:
        ValueError: if τ is negative or not finite.

    Source: GLL paper, eq. 10 and section 2.4 (the ℓ¹ norm in its eq. 15 is a misprint for ℓ²).

    """

    tau: float = 0.0

    def __post_init__(self) -> None:
        check_tau(self.tau)

    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Pose it with the labels as boundary values."""
        operators = [LinearOperator(self.tau)]  # GLL eq. 10
        return dirichlet_problem(graph, labels, labeled, source, operators, decays=self.tau > 0)


@dataclass(frozen=True)
class SoftConstraint(Equation):
    """Laplace learning that trusts labels only so far: τu + Δu + λξ(u − g) = f, ξ = 1 on labels.

    Prefer it where labels may be wrong: a labelled node weighs its label against its neighbours.
    λ → ∞ is Laplace learning, with an error of the order 1/λ (the paper's "λ → 0" is a slip);
    λ → 0 is the label mean (τ = 0) or 0 (τ > 0).

    Args:
        strength: λ > 0, in the unit of the weights.
        tau: τ >= 0.

    Raises:
        ValueError: if λ is not positive or τ negative, or one of them not finite.

    Source: GLL paper, eq. 12 and 13.

    """

    strength: float
    tau: float = 0.0

    def __post_init__(self) -> None:
        check_tau(self.tau)
        if not 0 < self.strength < float("inf"):
            raise ValueError(
                f"strength: received {self.strength}; must be finite and > 0 (a large one "
                "holds the labels; Laplace does so exactly)"
            )

    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Pose it with labelled nodes free and drawn towards their labels."""
        pull = source.new_zeros(graph.num_nodes, 1)
        pull[labeled] = self.strength  # GLL eq. 12
        reached = reached_from(graph, labeled)
        free = reached | (self.tau > 0)
        return Problem(
            graph,
            free,
            given=label_mean(labels) * ~free[:, None],
            source=source.index_add(0, labeled, self.strength * labels),
            operators=[LinearOperator(self.tau + pull)],  # GLL eq. 13
            status=disconnected(reached),
        )
