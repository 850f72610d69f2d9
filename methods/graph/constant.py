"""A sparse matrix that is never learned, such as that of inputs that are mostly 0."""

import warnings
from typing import Any

import torch
from torch import Tensor


class ConstantMatrix:
    """A sparse matrix, whose products with dense ones are differentiable in these, twice too.

    Products of torch's coordinate format take several times as long, and second derivatives of its
    compressed rows are not there.

    Attributes:
        rows, columns: the matrix (n, d) and its transpose, both in compressed rows.

    """

    def __init__(self, dense: Tensor) -> None:
        with warnings.catch_warnings():
            # torch says once per process that compressed rows are in beta; nobody can act on it.
            warnings.simplefilter("ignore", UserWarning)
            self.rows = dense.to_sparse_csr()
            self.columns = dense.T.contiguous().to_sparse_csr()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """Shape (n, d)."""
        return self.rows.shape

    def __matmul__(self, dense: Tensor) -> Tensor:
        product: Tensor = _Product.apply(dense, self.rows, self.columns)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.rows, ctx.columns = rows, columns
        product: Tensor = rows @ dense
        return product

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(gradient, ctx.columns, ctx.rows), None, None  # type: ignore[no-untyped-call]
