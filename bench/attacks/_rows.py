"""Numbers of samples beside the samples."""

from torch import Tensor


def column(rows: Tensor, x: Tensor) -> Tensor:
    """Return a number or a choice of each sample (n,) as (n, 1, …), to go with x (n, …)."""
    return rows.view(-1, *[1] * (x.ndim - 1))
