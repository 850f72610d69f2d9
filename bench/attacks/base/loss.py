"""Losses of attacks, sample by sample, and numbers of samples beside the samples."""

import torch
from torch import Tensor


def column(rows: Tensor, x: Tensor) -> Tensor:
    """A number or a choice of each sample (n,) as (n, 1, …), to go with x (n, …)."""
    return rows.view(-1, *[1] * (x.ndim - 1))


def log_likelihood(log_probabilities: Tensor, y: Tensor) -> Tensor:
    """Log p(y_i) (n,) of log-probabilities (n, c); 0 where y = −1."""
    chosen = log_probabilities.gather(1, y.clamp_min(0)[:, None])[:, 0]
    return torch.where(y >= 0, chosen, 0.0)


def margins(log_probabilities: Tensor, y: Tensor) -> Tensor:
    """Log p(y_i) − max_{j ≠ y_i} log p(j) (n,): not positive where a sample is wrong.

    The logits' margin too, as log-probabilities differ from them by a constant a row.
    """
    rows = y.clamp_min(0)[:, None]
    others = log_probabilities.scatter(1, rows, -torch.inf)
    return log_probabilities.gather(1, rows)[:, 0] - others.amax(dim=1)
