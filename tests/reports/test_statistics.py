"""Intervals, tests and verdicts equal those of independent packages, or are computed by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from lapbench.reports.statistics.tests import binomial_error, compare, holm, interval, is_marked

STEPS = [1.0, 2, 3, 4, 5]
BEST = pd.Series([101.0, 102, 103, 104, 105])
SHARES = pd.Series([0.9, 0.8, 0.7, 0.9, 0.8])


def accuracies(methods: int, repetitions: int, spread: float = 0.02) -> dict[str, pd.Series]:
    """Random accuracies, each method a point below the one before it."""
    random = np.random.default_rng(methods)
    return {
        f"method {number}": pd.Series(
            0.9 - 0.01 * number + spread * random.normal(size=repetitions)
        )
        for number in range(methods)
    }


def every_sign(differences: list[float]) -> float:
    """Wilcoxon's exact p: how many signs of the ranks give a sum as far from its mean."""
    ranks = pd.Series(differences).abs().rank().to_numpy()
    signs = np.array(list(itertools.product([-1, 1], repeat=len(ranks))))
    sums, result = abs(signs @ ranks), abs(np.sign(differences) @ ranks)
    return float((sums >= result - 1e-9).mean())


@pytest.mark.parametrize("repetitions", [2, 5, 12])
def test_intervals_are_those_of_statsmodels(repetitions: int):
    values = accuracies(3, repetitions)["method 1"]
    result = interval(list(values))
    expected = DescrStatsW(values.to_numpy()).tconfint_mean()
    assert (result.low, result.high) == pytest.approx(expected, rel=1e-12)


def test_only_finite_values_count_and_one_has_no_interval():
    assert interval([1, math.nan, 2, math.inf, 3, -math.inf]) == interval([1, 2, 3])
    one = interval([0.5, math.nan])
    assert (one.mean, str(one.low), str(one.high)) == (0.5, "nan", "nan")
    assert all(map(math.isnan, vars(interval([])).values()))


def test_binomial_error_by_hand():
    assert binomial_error(0.9, 100) == pytest.approx(0.03)


def test_holm_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for count in range(1, 9):
        p = random.uniform(size=count) ** random.choice([0.1, 3])
        expected = multipletests(p, method="holm")[1]
        result = holm({str(number): each for number, each in enumerate(p)})
        assert [result[str(number)] for number in range(count)] == pytest.approx(expected)


def test_comparisons_are_those_of_statsmodels():
    values = accuracies(5, 6)
    result = compare(values)
    best = max(values, key=lambda method: values[method].mean())
    others = [method for method in values if method != best]
    tests = [DescrStatsW((values[method] - values[best]).to_numpy()) for method in others]
    p = [test.ttest_mean(0)[1] for test in tests]
    assert [result[method].p for method in others] == pytest.approx(p)
    adjusted = multipletests(p, method="holm")[1]
    assert [result[method].p_holm for method in others] == pytest.approx(adjusted)
    for method, test in zip(others, tests, strict=True):
        assert result[method].best == best
        assert result[method].repetitions == 6
        assert result[method].difference.mean == pytest.approx(test.mean)
        limits = result[method].difference.low, result[method].difference.high
        assert limits == pytest.approx(test.tconfint_mean())


def test_the_best_has_no_difference_from_itself():
    best = compare(accuracies(3, 5, spread=0))["method 0"]
    assert (best.verdict, best.repetitions) == ("best", 5)
    assert all(map(math.isnan, [best.difference.mean, best.p, best.p_holm, best.p_wilcoxon]))


@pytest.mark.parametrize(
    ("methods", "repetitions", "made"),
    [(2, 5, False), (2, 6, True), (3, 6, False), (3, 7, True), (6, 7, False), (6, 8, True)],
)
def test_wilcoxon_is_made_where_it_can_decide(methods: int, repetitions: int, made: bool):
    """2^(1−n) ≤ 0.05/K: n = 6 for K = 1, 7 for K = 2, and 8 for K = 5."""
    result = compare(accuracies(methods, repetitions))
    others = [each for each in result.values() if each.verdict != "best"]
    assert [not math.isnan(each.p_wilcoxon) for each in others] == [made] * (methods - 1)


@pytest.mark.parametrize(
    "differences",
    [
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        [0.1, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        [0.1, 0.1, -0.1, 0.2, 0.2, 0.3, 0.3, 0.3],
        [-0.1, -0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    ],
)
def test_wilcoxon_is_exact_also_with_ties(differences: list[float]):
    """Rounding makes equal differences of accuracies unequal, which are ties nevertheless."""
    best = pd.Series(np.linspace(0.2, 0.9, len(differences)))
    result = compare({"best": best, "other": best - pd.Series(differences)})["other"]
    assert result.p_wilcoxon == pytest.approx(every_sign(differences))


@pytest.mark.parametrize("repetitions", [8, 20])
def test_wilcoxon_is_that_of_scipy(repetitions: int):
    values = accuracies(2, repetitions)
    expected = stats.wilcoxon(values["method 0"] - values["method 1"], method="exact").pvalue
    p = [each.p_wilcoxon for each in compare(values).values() if each.verdict != "best"]
    assert p == pytest.approx([expected])


def test_wilcoxon_leaves_out_zeros_and_is_corrected_for_all_tests():
    """Eight differences of one sign, 2/2⁸, times two tests; six beside a 0 cannot decide."""
    best = pd.Series(np.linspace(0.5, 0.9, 8))
    one_sign, few = pd.Series([*STEPS, 6, 7, 8]) / 100, pd.Series([0, *STEPS, 6, 0]) / 100
    result = compare({"best": best, "one sign": best - one_sign, "few": best - few})
    assert result["one sign"].p_wilcoxon == pytest.approx(2 * 2 / 2**8)
    assert math.isnan(result["few"].p_wilcoxon)
    assert not math.isnan(result["few"].p)


def test_a_method_that_is_not_worse_counts_as_a_comparison():
    """It has p of its own, which the correction of the others counts."""
    best = pd.Series([0.95, 0.96, 0.97, 0.96, 0.95])
    late = pd.Series([0.96, 0.98, 0.97, 0.97, 0.96, *[0.1] * 5])
    worse = best - pd.Series(STEPS) / 100
    result = compare({"best": best, "late": late, "worse": worse})
    assert result["late"].verdict == "not worse on the common seeds"
    assert result["worse"].p_holm == pytest.approx(2 * result["worse"].p)


@pytest.mark.parametrize(
    ("values", "verdicts"),
    [
        ({}, {}),
        ({"a": BEST[:1]}, {"a": "too few seeds"}),
        ({"a": BEST[:4], "b": BEST[:4] - 1}, {"a": "too few seeds", "b": "too few seeds"}),
        (
            {"a": BEST, "b": pd.Series([0.1] * 5, index=range(1, 6))},
            {"a": "best", "b": "too few seeds"},
        ),
        # A lucky survivor is set apart, and the others are compared.
        (
            {"lucky": pd.Series([999.0]), "b": BEST, "c": BEST - STEPS},
            {"lucky": "too few seeds", "b": "best", "c": "worse (p = 0.013)"},
        ),
        # Differences 1, 2, 3, 4, 5: t = 3/√0.5 = 4.2426 with 4 degrees of freedom, p = 0.0132.
        ({"a": BEST - STEPS, "b": BEST}, {"a": "worse (p = 0.013)", "b": "best"}),
        # Of two tests, the smaller p is doubled.
        (
            {"a": BEST - STEPS, "b": BEST, "c": BEST - [1, -2, 3, -4, 5]},
            {"a": "worse (p = 0.026)", "b": "best", "c": "not significantly worse (p = 0.73)"},
        ),
        # Mean m and standard deviation √2.5: t = m/√0.5, on both sides of 5 %.
        (
            {"a": BEST, "b": BEST - [-0.1, 0.9, 1.9, 2.9, 3.9]},
            {"a": "best", "b": "not significantly worse (p = 0.055)"},
        ),
        ({"a": BEST, "b": BEST - [0.0, 1, 2, 3, 4]}, {"a": "best", "b": "worse (p = 0.047)"}),
        (
            {
                "a": BEST,
                "b": pd.concat([BEST.add([1, 2, 1, 2, 1]), pd.Series([0.0] * 9, range(5, 14))]),
            },
            {"a": "best", "b": "not worse on the common seeds"},
        ),
        (
            {"a": pd.Series(STEPS), "b": pd.Series(STEPS[::-1])},
            {"a": "best", "b": "not worse on the common seeds"},
        ),
        ({"a": SHARES, "b": SHARES.copy()}, {"a": "best", "b": "identical to the best"}),
        ({"a": SHARES, "b": SHARES - 0.1}, {"a": "best", "b": "worse (p < 1e-12)"}),
    ],
)
def test_verdicts_are_on_common_repetitions(values: dict[str, pd.Series], verdicts: dict[str, str]):
    result = {method: each.verdict for method, each in compare(values).items()}
    assert result == verdicts
    for verdict in result.values():
        assert is_marked(verdict) != verdict.startswith(("worse", "too few"))
