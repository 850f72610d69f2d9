"""Dense factors of the matrix at the free nodes, for small graphs."""

import torch
from torch import Tensor

from lapbench.methods.graph.block import FreeBlock
from lapbench.methods.graph.status import LinearSolution, Status

_SMALLEST_PIVOT = 1e-8
_LARGEST_CONDITION = 1e12


class DenseFactor:
    """Factor once, solve exactly; the faster choice up to some hundred free nodes.

    A positive definite matrix gets a Cholesky factor. Where learned clusters hang together by
    weights of 1e-8 and less of their degree, which happens soon, that loses the small link to the
    labels by cancellation; then the factor is computed without subtraction, which is slower and
    accurate in every entry. The matrix of an equation that is not elliptic gets an LU factor, with
    a relative ridge of 1e-12 where its condition is above 1e12.
    """

    def __init__(self, block: FreeBlock) -> None:
        self.block = block
        self.nodes = block.free[:, 0].nonzero()[:, 0]
        self.scale = block.scale[self.nodes].T[:, :, None]
        self.status = Status.CONVERGED
        matrix = self._symmetric(block.entries)
        matrix.diagonal(dim1=1, dim2=2).copy_(block.unit[self.nodes].T)
        if block.elliptic:
            self.factor, failed = torch.linalg.cholesky_ex(matrix)
            pivots = self.factor.diagonal(dim1=1, dim2=2)
            if bool(failed.any()) or bool((pivots**2 < _SMALLEST_PIVOT).any()):
                weights = self._symmetric(block.weights)
                excess = block.excess[self.nodes].T
                self.factor = self.scale * subtraction_free_factor(weights, excess)
        else:
            self._factor_indefinite(matrix)
        if not bool(self.factor.isfinite().all()):
            self.status = Status.SINGULAR

    def solve(self, right_hand_sides: Tensor) -> LinearSolution:
        """Solve for all columns of (n, c) at once."""
        size, blocks = len(self.nodes), len(self.scale)
        shape = size, right_hand_sides.shape[1] // blocks, blocks
        scaled = self.scale * right_hand_sides[self.nodes].view(shape).permute(2, 0, 1)
        solved = self._apply(scaled) if self.status is not Status.SINGULAR else 0 * scaled
        singular = not bool(solved.isfinite().all())
        unscaled = torch.zeros_like(right_hand_sides)
        target = torch.zeros_like(right_hand_sides)
        unscaled[self.nodes] = solved.permute(1, 2, 0).flatten(1)
        target[self.nodes] = scaled.permute(1, 2, 0).flatten(1)
        error = (target - self.block.product(unscaled)).norm(dim=0)
        norms = target.norm(dim=0) + unscaled.norm(dim=0)
        relative = error / torch.where(norms > 0, norms, 1)
        residual = float(relative.max()) if relative.numel() else 0.0
        if singular or not residual < 1e-6:
            return LinearSolution(torch.zeros_like(right_hand_sides), Status.SINGULAR, 0, 1.0)
        scale = self.block.scale.repeat(1, unscaled.shape[1] // blocks)
        return LinearSolution(unscaled * scale, self.status, 0, residual)

    def _apply(self, scaled: Tensor) -> Tensor:
        if self.block.elliptic:
            half = torch.linalg.solve_triangular(self.factor, scaled, upper=False)
            solved: Tensor = torch.linalg.solve_triangular(self.factor.mT, half, upper=True)
        else:
            solved = torch.linalg.lu_solve(self.factor, self.pivots, scaled)
        return solved

    def _factor_indefinite(self, matrix: Tensor) -> None:
        self.factor, self.pivots, _ = torch.linalg.lu_factor_ex(matrix)
        diagonal = self.factor.diagonal(dim1=1, dim2=2).abs()
        if bool((diagonal.amin(dim=1) * _LARGEST_CONDITION < diagonal.amax(dim=1)).any()):
            matrix.diagonal(dim1=1, dim2=2).add_(1 / _LARGEST_CONDITION)
            self.factor, self.pivots, _ = torch.linalg.lu_factor_ex(matrix)
            self.status = Status.ILL_CONDITIONED

    def _symmetric(self, entries: Tensor) -> Tensor:
        """Matrices (b, n_free, n_free) with ``entries`` (E, b) at edges between free nodes."""
        size = len(self.nodes)
        position = torch.full((len(self.block.free),), -1, device=entries.device)
        position[self.nodes] = torch.arange(size, device=entries.device)
        i, j = position[self.block.pattern.edge_index]
        inner = (i >= 0) & (j >= 0)
        i, j, entries = i[inner], j[inner], entries[inner].T
        matrix = entries.new_zeros(len(entries), size, size)
        matrix[:, i, j] = entries
        matrix[:, j, i] = entries
        return matrix


def subtraction_free_factor(weights: Tensor, excess: Tensor) -> Tensor:
    """Cholesky factors of diag(W1 + excess) − W, accurate in every entry.

    Only non-negative numbers are added, multiplied and divided, so nothing cancels, however weakly
    a cluster is joined to the rest. Let A₁₁ = LLᵀ for the first half, and Y = L⁻¹W₁₂ ≥ 0. The
    remainder of the second half has the weights W₂₂ + YᵀY and the row sums e₂ + YᵀL⁻¹e₁. A pivot
    that underflows to 0 gives entries that are not finite.

    Args:
        weights: W, (…, n, n) symmetric and non-negative; its diagonal plays no part.
        excess: e, (…, n) non-negative row sums of the matrix.

    Source: A. Alfa, J. Xue, Q. Ye, "Accurate computation of the smallest eigenvalue of a diagonally
    dominant M-matrix", Math. Comp. 71 (2002), after Grassmann, Taksar and Heyman; here by halves.

    """
    half = excess.shape[-1] // 2
    if half == 0:
        return excess.sqrt()[..., None]
    links, first_excess = weights[..., :half, half:], excess[..., :half]
    first = subtraction_free_factor(weights[..., :half, :half], first_excess + links.sum(dim=-1))
    solved = torch.linalg.solve_triangular(
        first, torch.cat([links, first_excess[..., None]], dim=-1), upper=False
    )
    shares, carried = solved[..., :-1], solved[..., -1:]
    second = subtraction_free_factor(
        weights[..., half:, half:] + shares.mT @ shares,
        excess[..., half:] + (shares.mT @ carried)[..., 0],
    )
    factor = weights.new_zeros(weights.shape)
    factor[..., :half, :half] = first
    factor[..., half:, half:] = second
    factor[..., half:, :half] = -shares.mT
    return factor
