"""Intervals and tests over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05
FEWEST_SEEDS = 5
_DIGITS = 12


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with its 95 % interval; its limits are NaN below two seeds, it below one."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Mean of the finite values and its 95 % interval by Student's t.

    It covers the randomness of training (split, initialisation, order), not that of the test set.
    """
    finite = [value for value in values if math.isfinite(value)]
    mean = float(np.mean(finite)) if finite else math.nan
    if len(finite) < 2:
        return Interval(mean, math.nan, math.nan)
    error = float(np.std(finite, ddof=1)) / math.sqrt(len(finite))
    half = _student_t(len(finite) - 1) * error
    return Interval(mean, mean - half, mean + half)


@cache
def _student_t(degrees: int) -> float:
    return float(stats.t.ppf(1 - LEVEL / 2, degrees))


def binomial_error(accuracy: float, samples: int) -> float:
    """Binomial standard error of an accuracy, as the size of the test set causes it.

    NaN if there is no accuracy between 0 and 1, or no sample.
    """
    if not 0 <= accuracy <= 1 or samples < 1:
        return math.nan
    return math.sqrt(accuracy * (1 - accuracy) / samples)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction of p-values for their number.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = largest
    return adjusted


@dataclass(frozen=True)
class PairedComparison:
    """A method beside the best of its table, on the repetitions that both have.

    Attributes:
        best: the name of the best, empty if no method has five repetitions.
        repetitions: in common; of the best, and without one, those of the method itself.
        difference: the method minus the best, with its 95 % interval, not adjusted for the number
            of comparisons; NaN for the best itself.
        p: of the two-sided paired t test, NaN where it was not made.
        p_holm: the same after Holm's correction.
        p_wilcoxon: of Wilcoxon's signed-rank test after Holm's correction, NaN where it was not
            made.
        verdict: "best", "not significantly worse (p = …)", "worse (p = …)", "identical to the
            best", "not worse on the common seeds", or "too few seeds"; with fewer than five
            repetitions nothing is called best or worse.

    """

    best: str
    repetitions: int
    difference: Interval
    p: float
    p_holm: float
    p_wilcoxon: float
    verdict: str


def compare(values: Mapping[str, pd.Series]) -> dict[str, PairedComparison]:
    """Compare each method with the best: that of highest mean with five repetitions or more.

    Two-sided paired t tests of the differences on the repetitions that both have, if they are five
    or more and not all equal, with Holm's correction over the tests. Beside them, where n
    differences other than 0 can decide anything, which is where 2^(1−n) ≤ 0.05/K with K tests,
    Wilcoxon's signed-rank test with the same correction. Values that are not finite are left out.

    Args:
        values: for each method its accuracies, indexed by repetition.

    """
    finite = {method: own[np.isfinite(own)] for method, own in values.items()}
    enough = [method for method, own in finite.items() if len(own) >= FEWEST_SEEDS]
    best = max(enough, key=lambda method: float(finite[method].mean()), default="")
    differences = {
        method: (own - finite[best]).dropna()
        for method, own in finite.items()
        if enough and method != best
    }
    tested = {
        method: own
        for method, own in differences.items()
        if len(own) >= FEWEST_SEEDS and (own != 0).any()
    }
    p = {method: paired_p(own) for method, own in tested.items()}
    p_holm, p_wilcoxon = holm(p), _wilcoxon(tested)
    verdicts = {method: _verdict(own, p_holm.get(method)) for method, own in differences.items()}
    if enough:
        verdicts[best] = "best"
    return {
        method: PairedComparison(
            best=best,
            repetitions=len(differences.get(method, own)),
            difference=interval(list(differences.get(method, []))),
            p=p.get(method, math.nan),
            p_holm=p_holm.get(method, math.nan),
            p_wilcoxon=p_wilcoxon.get(method, math.nan),
            verdict=verdicts.get(method, "too few seeds"),
        )
        for method, own in finite.items()
    }


def paired_p(difference: pd.Series) -> float:
    """P-value of the two-sided paired t test of two or more differences, not all of them 0."""
    if float(np.ptp(difference)) <= 1e-12 * abs(float(difference.mean())):
        return 0.0  # No spread: the t statistic is infinite.
    return float(stats.ttest_1samp(difference, 0).pvalue)


def _wilcoxon(tested: Mapping[str, pd.Series]) -> dict[str, float]:
    """P-values after correction, of the tests that can decide; the others count as p = 1."""
    p_values = {}
    for method, difference in tested.items():
        rounded = difference.round(_DIGITS)  # Differences that are equal but for rounding tie.
        ranked = rounded[rounded != 0]
        if 2.0 ** (1 - len(ranked)) <= LEVEL / len(tested):
            p_values[method] = _signed_rank_p(ranked.to_numpy())
    adjusted = holm({method: p_values.get(method, 1.0) for method in tested})
    return {method: adjusted[method] for method in p_values}


def _signed_rank_p(differences: np.ndarray[Any, Any]) -> float:
    """Exact two-sided p of Wilcoxon's signed-rank test, ties having mean ranks.

    SciPy has it for ranks without ties alone, or by drawing signs, which takes too long.
    """
    doubled = (2 * stats.rankdata(abs(differences))).astype(int)  # Mean ranks are whole or half.
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1
    for rank in doubled:
        chances[rank:] = (chances[rank:] + chances[:-rank]) / 2
        chances[:rank] /= 2
    positive = int(doubled[differences > 0].sum())
    smaller = min(positive, int(doubled.sum()) - positive)
    return min(1.0, 2 * float(chances[: smaller + 1].sum()))


def _verdict(difference: pd.Series, p_holm: float | None) -> str:
    if len(difference) < FEWEST_SEEDS:
        return "too few seeds"
    if p_holm is None:
        return "identical to the best"
    if difference.mean() >= 0:
        return "not worse on the common seeds"
    verdict = "worse" if p_holm < LEVEL else "not significantly worse"
    return f"{verdict} ({describe_p(p_holm)})"


def describe_p(p: float) -> str:
    """P-value in words, such as "p = 0.013"."""
    return f"p = {p:.2g}" if p >= 1e-12 else "p < 1e-12"


def is_marked(verdict: str) -> bool:
    """Whether a verdict means best or not significantly worse."""
    return verdict.startswith(("best", "not ", "identical"))
