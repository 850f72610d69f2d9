"""Intervals and tests over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05
FEWEST_SEEDS = 5


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with its 95 % confidence interval; NaN limits below two seeds."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Return the mean and its 95 % interval by Student's t.

    It covers the randomness of training (split, initialisation, order), not that of the test set.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * error
    return Interval(mean, mean - half, mean + half)


def binomial_error(accuracy: float, samples: int) -> float:
    """Return the standard error of an accuracy that a test set of this size alone causes."""
    return math.sqrt(accuracy * (1 - accuracy) / samples)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for their number by Holm's step-down method.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = largest
    return adjusted


def against_best(values: Mapping[str, pd.Series]) -> dict[str, str]:
    """Say how each method compares with the best: that of highest mean with five seeds or more.

    Two-sided paired t tests of the differences on the seeds that both have, with Holm's correction
    over the methods. With fewer than five nothing is called best or worse. Identical values are not
    tested.

    Args:
        values: for each method its accuracies, indexed by repetition.

    Returns:
        For each method "best", "not significantly worse (p = …)", "worse (p = …)", "not worse on
        the common seeds", "identical to the best" or "too few seeds".

    """
    verdicts = dict.fromkeys(values, "too few seeds")
    compared = [method for method in values if len(values[method]) >= FEWEST_SEEDS]
    if not compared:
        return verdicts
    best = max(compared, key=lambda method: float(values[method].mean()))
    verdicts[best] = "best"
    p_values: dict[str, float] = {}
    for method in compared:
        difference = (values[best] - values[method]).dropna()
        if method == best or len(difference) < FEWEST_SEEDS:
            continue
        if (difference == 0).all():
            verdicts[method] = "identical to the best"
        elif difference.mean() <= 0:
            verdicts[method] = "not worse on the common seeds"
        elif float(np.ptp(difference)) <= 1e-12 * float(difference.mean()):
            p_values[method] = 0.0  # No spread: the t statistic is infinite.
        else:
            p_values[method] = float(stats.ttest_1samp(difference, 0).pvalue)
    for method, p in holm(p_values).items():
        verdict = "worse" if p < LEVEL else "not significantly worse"
        verdicts[method] = f"{verdict} (p {f'= {p:.2g}' if p >= 1e-12 else '< 1e-12'})"
    return verdicts


def is_marked(verdict: str) -> bool:
    """Tell whether a verdict is that of the best or of one not significantly worse."""
    return verdict.startswith(("best", "not ", "identical"))
