"""The matrix of a graph equation at the free nodes."""

import torch
from torch import Tensor

from lapbench.methods.graph.sparse import EdgePattern


class FreeBlock:
    """The block A of Δ + τ that belongs to the free nodes, the others being held fixed.

    Vectors have a row for every node of the graph, 0 where it is not free. A nonlinear equation has
    a matrix of its own for each column (b of them), a linear one shares a matrix (b = 1). With
    non-negative weights and τ, A is symmetric positive definite when every free node has a path to
    a fixed one or to a node with τ > 0. All is float64: links of learned clusters span more orders
    of magnitude than float32 holds.

    Attributes:
        pattern: where the edges stand.
        free: (n, 1) bool.
        weights: (E, b) weights of the edges.
        excess: (n, b) row sums of A: τ plus the weights to fixed nodes; 0 where not free.
        scale: (n, b) diagonal of S = |D|^{-1/2}; 0 where not free. S A S has the diagonal ``unit``.
        unit: (n, b) 1 at free nodes where A is positive definite.
        elliptic: whether no weight and no τ is negative.

    """

    def __init__(
        self, pattern: EdgePattern, weights: Tensor, tau: float | Tensor, free: Tensor
    ) -> None:
        self.pattern = pattern
        self.free = free[:, None]
        self.weights = weights if weights.ndim == 2 else weights[:, None]
        tau = torch.as_tensor(tau, dtype=torch.float64, device=free.device)
        self.elliptic = bool((self.weights >= 0).all()) and bool((tau >= 0).all())
        sums = self._row_sums(torch.cat([~self.free, torch.ones_like(self.free)], dim=1))
        self.excess = self.free * (tau + sums[:, 0])
        diagonal = self.free * (tau + sums[:, 1])
        size = torch.where(diagonal != 0, diagonal.abs(), 1)
        self.scale = self.free * size.rsqrt()
        self.unit = diagonal * self.scale**2
        i, j = pattern.edge_index
        ends = self.scale.index_select(0, i) * self.scale.index_select(0, j)
        self.entries = -self.weights * ends
        self._matrix = pattern.matrix(self.entries[:, 0]) if self.entries.shape[1] == 1 else None

    def product(self, values: Tensor) -> Tensor:
        """S A S times ``values`` (n, c), 0 where not free; c is a multiple of b."""
        if self.elliptic:
            diagonal = values
        else:
            diagonal = values * self.unit.repeat(1, values.shape[1] // self.unit.shape[1])
        if self._matrix is not None:
            return torch.addmm(diagonal, self._matrix, values)
        return diagonal + self.pattern.product(self.entries, values)

    def _row_sums(self, chosen: Tensor) -> Tensor:
        """Sums (n, r, b) of the weights from each node to the chosen nodes (n, r)."""
        columns = self.weights.shape[1]
        weights = self.weights[:, 0] if columns == 1 else self.weights
        repeated = chosen.double().repeat_interleave(columns, dim=1)
        sums: Tensor = self.pattern.product(weights, repeated).unflatten(1, (-1, columns))
        return sums
