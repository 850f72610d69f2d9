"""Symmetric sparse matrices with one value an edge, and distances along edges."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lapbench.methods.graph.compiled import Floats, Integers, compiled

with warnings.catch_warnings():
    # torch says once per process that compressed sparse rows are in beta; nobody can act on it.
    warnings.simplefilter("ignore", UserWarning)
    torch.eye(1).to_sparse_csr()


def compressed_rows(row_starts: Tensor, columns: Tensor, entries: Tensor) -> Tensor:
    """Square sparse matrix (n, n), without a check of its arguments."""
    size = (len(row_starts) - 1,) * 2
    return torch.sparse_csr_tensor(row_starts, columns, entries, size=size, check_invariants=False)


class EdgePattern:
    """Where the entries of symmetric matrices stand: (i, j) and (j, i) for every edge.

    Found once for a graph; products with any values on the edges then need no sorting.

    Attributes:
        edge_index: (2, E) int64.
        num_nodes: n.

    """

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        self.edge_index = edge_index
        self.num_nodes = num_nodes
        rows = edge_index.flip(0).flatten().int()
        ordered, self._order = rows.sort(stable=True)
        self._edges = self._order % max(edge_index.shape[1], 1)
        self._columns = edge_index.flatten().int()[self._order]
        starts = torch.arange(num_nodes + 1, dtype=torch.int32, device=rows.device)
        self._row_starts = torch.searchsorted(ordered, starts, out_int32=True)

    def matrix(self, values: Tensor) -> Tensor:
        """Sparse matrix (n, n) with ``values`` (E,) on the edges, diagonal 0."""
        return compressed_rows(self._row_starts, self._columns, values.index_select(0, self._edges))

    def product(self, values: Tensor, dense: Tensor) -> Tensor:
        """Σ_y values_xy dense_y (n, c).

        Args:
            values: (E,) for one matrix, or (E, b) for a matrix of its own for each of b columns.
            dense: (n, c), c a multiple of b.

        """
        if values.ndim == 1:
            result: Tensor = self.matrix(values) @ dense
            return result
        (i, j), blocks = self.edge_index, dense.unflatten(1, (-1, values.shape[1]))
        result = torch.zeros_like(blocks).index_add_(0, i, values[:, None] * blocks[j])
        return result.index_add_(0, j, values[:, None] * blocks[i]).flatten(1)

    def laplacian_of_features(self, weights: Tensor, features: Tensor) -> Tensor:
        """Σ_y w_xy (f(x) − f(y)) for float64 w (E,) and features (n, d) of any dtype.

        By differences on a processor, so that nothing cancels between near points.
        """
        if features.is_cuda:
            return _laplacian_product(weights, features.double(), self).to(features.dtype)
        result = torch.empty_like(features, memory_format=torch.contiguous_format)
        entries = weights.index_select(0, self._edges)
        _laplacian_of_features(
            self._row_starts.numpy(),
            self._columns.numpy(),
            entries.numpy(),
            features.detach().contiguous().numpy(),
            result.numpy(),
        )
        return result

    def components(self, connects: Tensor) -> Tensor:
        """Connected component (n,) of every node, named by its lowest node.

        Args:
            connects: (E,) bool, which edges do.

        """
        if connects.is_cuda:
            return self._components_by_spreading(connects)
        i, j = self.edge_index[:, connects].numpy()
        return torch.from_numpy(_components(i, j, self.num_nodes))

    def _components_by_spreading(self, connects: Tensor) -> Tensor:
        """Let the lowest number spread along edges, and by jumps to what its own node has reached.

        On graphs of neighbours this takes few rounds, and none waits for another.
        """
        nowhere = self.num_nodes
        columns = torch.where(connects.index_select(0, self._edges), self._columns, nowhere)
        offsets = self._row_starts.long()
        lowest = torch.arange(self.num_nodes + 1, dtype=torch.float64, device=columns.device)
        settled = False
        while not settled:
            offered = lowest.index_select(0, columns)
            near = torch.segment_reduce(offered, "min", offsets=offsets, initial=nowhere)
            reached = torch.minimum(lowest[:-1], near)
            reached = reached.index_select(0, reached.long())
            settled = torch.equal(reached, lowest[:-1])
            lowest[:-1] = reached
        return lowest[:-1].long()


class _LaplacianProduct(torch.autograd.Function):
    """Σ_y w_xy (u(x) − u(y)), differentiable in w and u without a matrix of E × c entries.

    Behind the adjoint solve the incoming gradient is −v, so the gradient in w is −∇u·∇v. Eq. 24 is
    its share of w(x, y) alone; eq. 32 as printed is twice the average over both directions.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, pattern: EdgePattern) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.pattern = pattern
        return _laplacian_product(weights, values, pattern)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weights, values = ctx.saved_tensors
        for_weights = for_values = None
        if ctx.needs_input_grad[0]:
            for_weights = gradient_products(values, gradient, ctx.pattern)  # GLL eq. 24, GLL eq. 32
        if ctx.needs_input_grad[1]:
            for_values = _laplacian_product(weights, gradient, ctx.pattern)  # GLL eq. 26
        return for_weights, for_values, None


class _SquaredDistances(torch.autograd.Function):
    r"""‖x_i − x_j‖² (E,) along edges, given their known values; differentiable in the features.

    With g the gradient for the squared distances, that for the features is twice the Laplacian
    with weights g times the features: :math:`\nabla_X J = 2 L_g X`. Since bandwidths are distances
    along edges too, this one product is eq. 42 of the GLL paper, :math:`L_{H-M} X`, for every
    kernel. It is summed in float64.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, known: Tensor, pattern: EdgePattern) -> Tensor:
        ctx.save_for_backward(features, known)
        ctx.pattern = pattern
        return known.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        features, known = ctx.saved_tensors
        # A duplicate's difference is 0, even where the kernel has an infinite slope there.
        weights = torch.where(known > 0, 2 * gradient, 0)
        return ctx.pattern.laplacian_of_features(weights, features), None, None  # GLL eq. 42


def laplacian_product(weights: Tensor, values: Tensor, pattern: EdgePattern) -> Tensor:
    """Σ_y w_xy (u(x) − u(y)) for w (E,) and u (n, c), differentiable in both."""
    product: Tensor = _LaplacianProduct.apply(weights, values, pattern)  # type: ignore[no-untyped-call]
    return product


def squared_distances(features: Tensor, known: Tensor, pattern: EdgePattern) -> Tensor:
    """‖x_i − x_j‖² (E,) of known values, differentiable in the features (n, d)."""
    squares: Tensor = _SquaredDistances.apply(features, known, pattern)  # type: ignore[no-untyped-call]
    return squares


def gradient_products(first: Tensor, second: Tensor, pattern: EdgePattern) -> Tensor:
    """∇u·∇v (E,) along the edges, for u and v (n, c)."""
    if not first.is_cuda:
        products = first.new_empty(pattern.edge_index.shape[1])
        u, v = first.detach().contiguous().numpy(), second.detach().contiguous().numpy()
        _gradient_products(u, v, pattern.edge_index.numpy(), products.numpy())
        return products
    i, j = pattern.edge_index
    return ((first[i] - first[j]) * (second[i] - second[j])).sum(dim=1)


@compiled()
def _components(first: Integers, second: Integers, num_nodes: int) -> Integers:
    """Join the trees of both ends of every edge, the lower root staying one."""
    parent = np.arange(num_nodes)
    for e in range(len(first)):
        i, j = first[e], second[e]
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        while parent[j] != j:
            parent[j] = parent[parent[j]]
            j = parent[j]
        parent[max(i, j)] = min(i, j)
    for node in range(num_nodes):
        parent[node] = parent[parent[node]]
    return parent


@compiled("contract")
def _laplacian_of_features(
    row_starts: Integers, columns: Integers, entries: Floats, features: Floats, result: Floats
) -> None:
    total = np.empty(features.shape[1])
    for i in range(len(features)):
        total[:] = 0
        for e in range(row_starts[i], row_starts[i + 1]):
            j, entry = columns[e], entries[e]
            for t in range(len(total)):
                total[t] += entry * (features[i, t] - features[j, t])
        result[i] = total


@compiled("reassoc", "contract")
def _gradient_products(
    first: Floats, second: Floats, edge_index: Integers, products: Floats
) -> None:
    for e in range(len(products)):
        i, j = edge_index[0, e], edge_index[1, e]
        total = products.dtype.type(0)
        for c in range(first.shape[1]):
            total += (first[i, c] - first[j, c]) * (second[i, c] - second[j, c])
        products[e] = total


def _laplacian_product(weights: Tensor, values: Tensor, pattern: EdgePattern) -> Tensor:
    matrix = pattern.matrix(weights)
    degrees = matrix @ weights.new_ones(pattern.num_nodes, 1)
    return torch.addmm(degrees * values, matrix, values, alpha=-1)  # GLL eq. 9
