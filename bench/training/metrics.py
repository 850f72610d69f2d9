"""Evaluation: predictions in fixed batches, and what is measured on them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lapbench.datasets.base.task import Split
from lapbench.methods.base.capabilities import numbers_of
from lapbench.methods.base.model import Model

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Metric:
    """One number about a model on a split, from ``count`` samples.

    Under an attack it has the attack's label, the norm of its ball, and its level: the parameter
    that makes it stronger, the value of that, and the number of steps.
    """

    metric: str
    split: str
    value: float
    count: int
    attack: str = ""
    norm: str = ""
    parameter: str = ""
    level: float = 0.0
    steps: int = 0


def evaluate(model: Model, split: Split, name: str, batch_size: int) -> list[Metric]:
    """Accuracy, negative log-likelihood, calibration error and the method's own metrics."""
    predicted, y = of_known_class(predict(model, split.x, batch_size), split.y)
    values = {
        "accuracy": accuracy(predicted, y),
        "negative_log_likelihood": float(functional.nll_loss(predicted, y)),
        "calibration_error": calibration_error(predicted, y),
        **numbers_of(model).measure(split, batch_size),
    }
    return [Metric(metric, name, value, len(y)) for metric, value in values.items()]


def of_known_class(log_probabilities: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The rows with y != −1: on a node task each split has all nodes."""
    known = y >= 0
    return log_probabilities[known], y[known]


@torch.no_grad()
def predict(model: Model, x: Tensor, batch_size: int) -> Tensor:
    """Log-probabilities (n, c), predicted in consecutive batches of a fixed size.

    The batches matter where a prediction depends on the other samples of its batch.
    """
    model.eval()
    return torch.cat([model(batch) for batch in x.split(batch_size)])


def accuracy(log_probabilities: Tensor, y: Tensor) -> float:
    """The share of samples whose most probable class is y; ties go to the lower class."""
    return float((log_probabilities.argmax(dim=1) == y).double().mean())


def calibration_error(log_probabilities: Tensor, y: Tensor) -> float:
    """The expected calibration error, between 0 and 1.

    Samples are sorted into 15 bins of equal width by the probability of the predicted class; the
    error is Σ_b (n_b/n) |accuracy_b − mean confidence_b|.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, eq. 3.
    """
    confidence, predicted = log_probabilities.double().exp().max(dim=1)
    bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    gap = (predicted == y).double() - confidence
    sums = torch.zeros(CALIBRATION_BINS, dtype=gap.dtype, device=gap.device)
    return float(sums.index_add_(0, bins, gap).abs().sum() / len(y))
