"""Linear systems of a graph Laplacian: prepare once, apply often, never a silent NaN."""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from lapbench.methods.graph.laplacian import SimilarityGraph

DENSE_UP_TO = 1000
MAX_ITERATIONS = 5000

_SMALLEST_PIVOT = 1e-8


class Status(Enum):
    """How a solve ended; the value is the message for the user."""

    CONVERGED = "converged"
    NOT_CONVERGED = (
        "not converged: the residual is above the tolerance after the last iteration; raise tau, "
        "use float64 features, or look for edge weights of very different size"
    )
    SINGULAR = (
        "singular: the weights that join some nodes to the labelled ones are too small for "
        "float64, and the values are 0; raise tau or the bandwidth"
    )
    DISCONNECTED = (
        "disconnected: some nodes have no path to a labelled node and took the label mean "
        "(tau = 0) or 0 (tau > 0); raise k or label a node in every component"
    )


@dataclass(frozen=True, eq=False)
class LinearSolution:
    """Values (n_free, c), finite whatever the status, with what they took.

    ``residual`` is ‖b − Au‖/(‖b‖ + ‖u‖) for the system scaled to unit diagonal, the largest over
    the columns.
    """

    values: Tensor
    status: Status
    iterations: int
    residual: float


class FreeBlock:
    """The block A of Δ + τ that belongs to the free nodes, the others being held fixed.

    Symmetric positive definite when every free node has a path to a fixed one, or τ > 0. The
    graph's weights are taken as constants, and all is float64: links of learned clusters span more
    orders of magnitude than float32 holds.

    Attributes:
        edges: (2, E_free) the edges between free nodes, by their positions among the free nodes.
        weights: (E_free,) their weights.
        excess: (n_free,) row sums of A: τ plus the weights to fixed nodes.
        scale: (n_free, 1) diagonal of D^{-1/2}; D^{-1/2} A D^{-1/2} has unit diagonal.
        entries: (E_free,) off-diagonal entries of D^{-1/2} A D^{-1/2}.

    """

    def __init__(self, graph: SimilarityGraph, free: Tensor, tau: float) -> None:
        position = torch.full((graph.num_nodes,), -1, device=free.device)
        position[free] = torch.arange(len(free), device=free.device)
        ends, weights = position[graph.edge_index], graph.weights.detach().double()
        inner = (ends >= 0).all(dim=0)
        self.edges, self.weights = ends[:, inner], weights[inner]
        self.excess = torch.full((len(free),), tau, dtype=torch.float64, device=free.device)
        for end, other in (ends, ends.flip(0)):
            link = (end >= 0) & (other < 0)
            self.excess.index_add_(0, end[link], weights[link])
        diagonal = self.excess.clone()
        for end in self.edges:
            diagonal.index_add_(0, end, self.weights)
        self.scale = diagonal.rsqrt()[:, None]
        self.entries = -self.weights * self.scale[self.edges].squeeze(2).prod(dim=0)

    def product(self, values: Tensor) -> Tensor:
        """Return the block, scaled to unit diagonal, times ``values`` (n_free, c)."""
        i, j = self.edges
        entries = self.entries[:, None]
        result = values.index_add(0, i, entries * values[j])
        return result.index_add(0, j, entries * values[i])

    def symmetric(self, entries: Tensor) -> Tensor:
        """Return the dense symmetric matrix with ``entries`` (E_free,) at the edges."""
        size = len(self.scale)
        matrix = entries.new_zeros(size, size)
        i, j = self.edges
        matrix[i, j] = entries
        matrix[j, i] = entries
        return matrix


class DenseCholesky:
    """Factor once, solve exactly; the faster choice up to a thousand free nodes.

    Where learned clusters hang together by weights of 1e-8 and less of their degree, which happens
    soon, the usual factor loses the small link to the labels by cancellation; then the factor is
    computed without subtraction, which is slower and accurate in every entry.
    """

    def __init__(self, block: FreeBlock) -> None:
        self.block = block
        matrix = block.symmetric(block.entries)
        matrix.diagonal().fill_(1)
        self.factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed or bool((self.factor.diagonal() ** 2 < _SMALLEST_PIVOT).any()):
            self.factor = block.scale * subtraction_free_factor(
                block.symmetric(block.weights), block.excess
            )
        self.singular = not bool(self.factor.isfinite().all())

    def solve(self, right_hand_sides: Tensor) -> LinearSolution:
        """Solve for all columns of (n_free, c) at once."""
        scaled = right_hand_sides * self.block.scale
        if self.singular:
            return LinearSolution(torch.zeros_like(scaled), Status.SINGULAR, 0, 1.0)
        values = torch.cholesky_solve(scaled, self.factor)
        return _solution(self.block, values, scaled, Status.CONVERGED, iterations=0)


def subtraction_free_factor(weights: Tensor, excess: Tensor) -> Tensor:
    """Return the Cholesky factor of diag(W1 + excess) − W, accurate in every entry.

    Only non-negative numbers are added, multiplied and divided, so nothing cancels however weakly
    a cluster is joined to the rest: with A₁₁ = LLᵀ for the first half and Y = L⁻¹W₁₂ ≥ 0, what is
    left of the second half has the weights W₂₂ + YᵀY and the row sums e₂ + YᵀL⁻¹e₁. A pivot that
    underflows to 0 gives entries that are not finite.

    Args:
        weights: W, (n, n) symmetric and non-negative; its diagonal plays no part.
        excess: e, (n,) non-negative row sums of the matrix.

    Source: A. Alfa, J. Xue, Q. Ye, "Accurate computation of the smallest eigenvalue of a diagonally
    dominant M-matrix", Math. Comp. 71 (2002), after Grassmann, Taksar and Heyman; here by halves.

    """
    half = len(excess) // 2
    if half == 0:
        return excess.sqrt()[:, None]
    links, first_excess = weights[:half, half:], excess[:half]
    first = subtraction_free_factor(weights[:half, :half], first_excess + links.sum(dim=1))
    solved = torch.linalg.solve_triangular(
        first, torch.column_stack([links, first_excess]), upper=False
    )
    shares, carried = solved[:, :-1], solved[:, -1]
    second = subtraction_free_factor(
        weights[half:, half:] + shares.T @ shares, excess[half:] + shares.T @ carried
    )
    factor: Tensor = torch.block_diag(first, second)
    factor[half:, :half] = -shares.T
    return factor


class ConjugateGradients:
    """Iterate with sparse products, never a dense matrix; the choice for large graphs.

    On the block scaled to unit diagonal this is Jacobi preconditioning. All columns share the
    products; each has its own step lengths and stops changing once it has converged. A small
    residual bounds the error only up to the condition number, which grows as the links to the
    labelled nodes weaken: a factor 1e6 between weights may cost six digits.
    """

    def __init__(self, block: FreeBlock, tolerance: float) -> None:
        self.block = block
        self.tolerance = tolerance

    def solve(self, right_hand_sides: Tensor) -> LinearSolution:
        """Solve for all columns of (n_free, c) at once."""
        scaled = right_hand_sides * self.block.scale
        values = torch.zeros_like(scaled)
        residual, direction = scaled, scaled
        square = scaled.square().sum(dim=0)
        target = square * self.tolerance**2
        iterations = 0
        while bool((active := square > target).any()) and iterations < MAX_ITERATIONS:
            product = self.block.product(direction)
            curvature = (direction * product).sum(dim=0)
            step = torch.where(active & (curvature > 0), square / curvature, 0)
            values = values + step * direction
            residual = residual - step * product
            previous, square = square, residual.square().sum(dim=0)
            direction = residual + torch.where(active, square / previous, 0) * direction
            iterations += 1
        status = Status.NOT_CONVERGED if bool(active.any()) else Status.CONVERGED
        return _solution(self.block, values, scaled, status, iterations)


def prepare(graph: SimilarityGraph, free: Tensor, tau: float) -> DenseCholesky | ConjugateGradients:
    """Prepare the solver of Δ + τ on the free nodes: dense when small, else iterative.

    Right-hand sides and solutions are float64. The iteration stops at a residual of 1e-12 of the
    right-hand side for float64 weights and of 1e-8 for float32 weights.

    Args:
        graph: the similarity graph.
        free: (n_free,) distinct int64 indices; each with a path to a node that is not free, or
            τ > 0.
        tau: τ >= 0.

    """
    if len(free) <= DENSE_UP_TO:
        return DenseCholesky(FreeBlock(graph, free, tau))
    tolerance = 1e-12 if graph.weights.dtype == torch.float64 else 1e-8
    return ConjugateGradients(FreeBlock(graph, free, tau), tolerance)


def _solution(
    block: FreeBlock, values: Tensor, target: Tensor, status: Status, iterations: int
) -> LinearSolution:
    error = (target - block.product(values)).norm(dim=0)
    size = target.norm(dim=0) + values.norm(dim=0)
    residual = float((error / torch.where(size > 0, size, 1)).max()) if error.numel() else 0.0
    return LinearSolution(values * block.scale, status, iterations, residual)
