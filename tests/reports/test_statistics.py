"""Statistics equal values computed by hand or printed in textbooks."""

import math

import pandas as pd
import pytest

from lapbench.reports.statistics.tests import binomial_error, compare, holm, interval, is_marked


def against_best(values: dict[str, pd.Series]) -> dict[str, str]:
    return {method: found.verdict for method, found in compare(values).items()}


def test_interval_is_student_t():
    """Mean 3, standard deviation √2.5, t(0.975; 4) = 2.776445."""
    found = interval([1, 2, 3, 4, 5])
    half = 2.776445 * math.sqrt(2.5 / 5)
    assert found.mean == 3
    assert found.high - 3 == pytest.approx(half, rel=1e-6)
    assert 3 - found.low == pytest.approx(half, rel=1e-6)


def test_one_value_has_no_interval():
    found = interval([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_binomial_error_by_hand():
    assert binomial_error(0.9, 100) == pytest.approx(0.03)


def test_holm_by_hand():
    """0.005·4, 0.01·3, 0.03·2, and 0.04·1 raised to the one before it."""
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_holm_never_exceeds_one():
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_paired_differences_decide():
    """Differences 1, 2, 3, 4, 5: t = 3/√0.5 = 4.2426 with 4 degrees of freedom, p = 0.0132."""
    best = pd.Series([101.0, 102, 103, 104, 105])
    worse = best - pd.Series([1.0, 2, 3, 4, 5])
    close = best - pd.Series([1.0, -2, 3, -4, 5])
    assert against_best({"worse": worse, "best": best}) == {
        "best": "best",
        "worse": "worse (p = 0.013)",
    }
    verdict = against_best({"close": close, "best": best})["close"]
    assert verdict.startswith("not significantly worse")


@pytest.mark.parametrize(
    ("shift", "verdict", "marked"),
    [(1.9, "not significantly worse (p = 0.055)", True), (2.0, "worse (p = 0.047)", False)],
)
def test_five_percent_is_the_level(shift: float, verdict: str, marked: bool):
    """Differences of mean m and standard deviation √2.5: t = m/√0.5 with 4 degrees of freedom."""
    best = pd.Series([101.0, 102, 103, 104, 105])
    other = best - (pd.Series([-2.0, -1, 0, 1, 2]) + shift)
    found = against_best({"best": best, "other": other})["other"]
    assert found == verdict
    assert is_marked(found) == marked


def test_holm_is_applied_over_the_methods():
    """0.0132·2 is reported for the smaller of two p-values."""
    best = pd.Series([101.0, 102, 103, 104, 105])
    values = {
        "best": best,
        "worse": best - pd.Series([1.0, 2, 3, 4, 5]),
        "close": best - pd.Series([1.0, -2, 3, -4, 5]),
    }
    assert against_best(values)["worse"] == "worse (p = 0.026)"


def test_fewer_than_five_common_seeds_are_too_few():
    values = {"a": pd.Series([0.9] * 4), "b": pd.Series([0.1] * 4)}
    verdicts = against_best(values)
    assert verdicts == {"a": "too few seeds", "b": "too few seeds"}
    assert not any(map(is_marked, verdicts.values()))
    other_seeds = pd.Series([0.1] * 5, index=range(1, 6))
    assert against_best({"a": pd.Series([0.9] * 5), "b": other_seeds})["b"] == "too few seeds"


def test_a_lucky_survivor_is_not_the_best():
    """One finished seed of five: it is set apart, and the others are compared."""
    good = pd.Series([0.95, 0.96, 0.95, 0.94, 0.95])
    bad = pd.Series([0.90, 0.89, 0.91, 0.90, 0.88])
    verdicts = against_best({"lucky": pd.Series([0.99]), "good": good, "bad": bad})
    assert verdicts["lucky"] == "too few seeds"
    assert verdicts["good"] == "best"
    assert verdicts["bad"].startswith("worse")


def test_better_on_the_common_seeds_is_not_worse():
    a = pd.Series([0.95] * 5)
    b = pd.Series([0.97, 0.98, 0.97, 0.96, 0.97] + [0.5] * 5)
    assert against_best({"a": a, "b": b}) == {"a": "best", "b": "not worse on the common seeds"}


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_single_method_with_few_seeds_is_not_called_best(seeds: int):
    assert against_best({"a": pd.Series([0.9] * seeds)}) == {"a": "too few seeds"}


def test_identical_values_are_not_tested():
    values = pd.Series([0.9, 0.8, 0.7, 0.9, 0.8])
    assert against_best({"a": values, "b": values.copy()})["b"] == "identical to the best"


def test_constant_difference_is_significant_without_a_warning():
    values = pd.Series([0.9, 0.8, 0.7, 0.9, 0.8])
    assert against_best({"a": values, "b": values - 0.1})["b"] == "worse (p < 1e-12)"


def test_no_method_gives_no_verdict():
    assert against_best({}) == {}
