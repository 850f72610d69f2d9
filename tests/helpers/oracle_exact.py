"""Linear graph equations solved with fractions, without any rounding."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from oracle_graph import Problem, dense_components
from torch import Tensor

# As the library defines it: an edge joins if its weight is above this share of the largest.
JOINS_ABOVE = Fraction(1, 10**20)


def fractions(values: Tensor) -> np.ndarray:
    return np.vectorize(Fraction, otypes=[object])(values.numpy())


def joining(weights: np.ndarray) -> np.ndarray:
    return np.where(weights > JOINS_ABOVE * weights.max(), weights, Fraction(0))


def labels_of(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Indicator (n, 1) of labelled nodes, and labels (n, c), 0 elsewhere."""
    at_labels = problem.is_labeled.numpy().astype(int).astype(object)
    return at_labels, at_labels * fractions(problem.targets)


def laplacian(weights: np.ndarray) -> np.ndarray:
    return np.diag(weights.sum(axis=1)) - weights


def solve(system: np.ndarray, target: np.ndarray) -> Tensor:
    """By Gauss–Jordan elimination; any pivot but 0 will do."""
    rows = np.hstack([system, target])
    for column in range(len(rows)):
        pivot = column + int(np.flatnonzero(rows[column:, column])[0])
        rows[[column, pivot]] = rows[[pivot, column]]
        rows[column] = rows[column] / rows[column, column]
        factors = rows[:, column].copy()
        factors[column] = 0
        rows = rows - factors[:, None] * rows[column]
    return torch.from_numpy(rows[:, len(rows) :].astype(float))


def hard(problem: Problem, weights: np.ndarray, tau: float) -> Tensor:
    at_labels, labels = labels_of(problem)
    one = np.diag([Fraction(1)] * len(weights))
    system = laplacian(weights) + Fraction(tau) * one
    target = fractions(problem.source)
    return solve(np.where(at_labels, one, system), np.where(at_labels, labels, target))


def laplace(tau: float, problem: Problem) -> Tensor:
    return hard(problem, joining(fractions(problem.weights)), tau)


def wnll(subtracted: int, problem: Problem) -> Tensor:
    weights, (at_labels, _) = fractions(problem.weights), labels_of(problem)
    boost = Fraction(len(weights), len(problem.labels)) - subtracted
    # Where x is in the template too, the weight stands in no equation.
    return hard(problem, joining(weights + (1 + boost * at_labels.T) * weights.T), 0.0)


def soft(strength: float, tau: float, problem: Problem) -> Tensor:
    at_labels, labels = labels_of(problem)
    weights = joining(fractions(problem.weights))
    diagonal = Fraction(tau) + Fraction(strength) * at_labels[:, 0]
    target = fractions(problem.source) + Fraction(strength) * labels
    return solve(laplacian(weights) + np.diag(diagonal), target)


def poisson(by_degree: bool, problem: Problem) -> Tensor:
    """The mean of u over its component, which is 0, makes the matrix regular."""
    at_labels, labels = labels_of(problem)
    weights = joining(fractions(problem.weights))
    indicators = dense_components(torch.from_numpy(weights.astype(float))).numpy()
    together = fractions(torch.from_numpy(indicators @ indicators.T))
    label_mean = together @ labels / np.maximum(together @ at_labels, 1)
    given = fractions(problem.source) + at_labels * (labels - label_mean)
    target = given - together @ given / together.sum(axis=1)[:, None]
    degrees = weights.sum(axis=1)
    measure = np.where(degrees > 0, degrees, 1) if by_degree else np.ones_like(degrees)
    mean = together * measure / (together @ measure)[:, None]
    return solve(laplacian(weights) + mean, target)


EXACT: dict[str, Callable[[Problem], Tensor]] = {
    "laplace": partial(laplace, 0.0),
    "laplace-tau": partial(laplace, 0.1),
    "soft": partial(soft, 2.0, 0.0),
    "soft-tau": partial(soft, 0.5, 0.1),
    "poisson": partial(poisson, False),
    "poisson-degree": partial(poisson, True),
    "wnll": partial(wnll, 1),
    "wnll-ratio": partial(wnll, 0),
}
