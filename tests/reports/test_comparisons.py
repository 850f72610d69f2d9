"""Methods are compared with the best as by hand, and as an independent package does."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from lapbench.reports.statistics.comparisons import COLUMNS, comparisons, readable_comparisons
from lapbench.reports.statistics.tests import compare, holm, interval

STEPS = [1.0, 2, 3, 4, 5]


def accuracies(methods: int, repetitions: int, spread: float = 0.02) -> dict[str, pd.Series]:
    """Random accuracies, each method a point below the one before it."""
    random = np.random.default_rng(methods)
    return {
        f"method {number}": pd.Series(
            0.9 - 0.01 * number + spread * random.normal(size=repetitions)
        )
        for number in range(methods)
    }


def records(values: dict[str, list[float]], task: str = "digits") -> pd.DataFrame:
    """A tidy frame of one task."""
    rows = [
        {
            "task": task,
            "backbone": "mlp",
            "training": "natural",
            "method": method,
            "repetition": repetition,
            "key": f"{task}/{method}/{repetition}",
            "status": "ok",
            "attack": "",
            "metric": "accuracy",
            "value": value,
        }
        for method, own in values.items()
        for repetition, value in enumerate(own)
    ]
    columns = ["task", "backbone", "training", "method", "repetition", "key", "status"]
    return pd.DataFrame(rows, columns=[*columns, "attack", "metric", "value"])


def every_sign(differences: list[float]) -> float:
    """Wilcoxon's exact p: how many signs of the ranks give a sum as far from its mean."""
    ranks = pd.Series(differences).abs().rank().to_numpy()
    signs = np.array(list(itertools.product([-1, 1], repeat=len(ranks))))
    sums, found = abs(signs @ ranks), abs(np.sign(differences) @ ranks)
    return float((sums >= found - 1e-9).mean())


@pytest.mark.parametrize("repetitions", [2, 5, 12])
def test_intervals_are_those_of_statsmodels(repetitions: int):
    values = accuracies(3, repetitions)["method 1"]
    found = interval(list(values))
    expected = DescrStatsW(values.to_numpy()).tconfint_mean()
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)


def test_values_that_are_not_finite_have_no_part_in_an_interval():
    assert interval([1, math.nan, 2, math.inf, 3, -math.inf]) == interval([1, 2, 3])
    assert all(map(math.isnan, vars(interval([math.nan])).values()))
    assert all(map(math.isnan, vars(interval([])).values()))


def test_holm_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for count in range(1, 9):
        p = random.uniform(size=count) ** 3
        expected = multipletests(p, method="holm")[1]
        found = holm({str(number): each for number, each in enumerate(p)})
        assert [found[str(number)] for number in range(count)] == pytest.approx(expected)


def test_comparisons_are_those_of_statsmodels():
    values = accuracies(5, 6)
    found = compare(values)
    best = max(values, key=lambda method: values[method].mean())
    others = [method for method in values if method != best]
    tests = [DescrStatsW((values[method] - values[best]).to_numpy()) for method in others]
    p = [test.ttest_mean(0)[1] for test in tests]
    assert [found[method].p for method in others] == pytest.approx(p)
    adjusted = multipletests(p, method="holm")[1]
    assert [found[method].p_holm for method in others] == pytest.approx(adjusted)
    for method, test in zip(others, tests, strict=True):
        assert found[method].best == best
        assert found[method].repetitions == 6
        assert found[method].difference.mean == pytest.approx(test.mean)
        limits = found[method].difference.low, found[method].difference.high
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
    found = compare(accuracies(methods, repetitions))
    others = [each for each in found.values() if each.verdict != "best"]
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
    found = compare({"best": best, "other": best - pd.Series(differences)})["other"]
    assert found.p_wilcoxon == pytest.approx(every_sign(differences))


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
    found = compare({"best": best, "one sign": best - one_sign, "few": best - few})
    assert found["one sign"].p_wilcoxon == pytest.approx(2 * 2 / 2**8)
    assert math.isnan(found["few"].p_wilcoxon)
    assert not math.isnan(found["few"].p)


def test_a_method_that_is_not_worse_counts_as_a_comparison():
    """It has p of its own, which the correction of the others counts."""
    best = pd.Series([0.95, 0.96, 0.97, 0.96, 0.95])
    late = pd.Series([0.96, 0.98, 0.97, 0.97, 0.96, *[0.1] * 5])
    worse = best - pd.Series(STEPS) / 100
    found = compare({"best": best, "late": late, "worse": worse})
    assert found["late"].verdict == "not worse on the common seeds"
    assert found["worse"].p_holm == pytest.approx(2 * found["worse"].p)


def test_equal_means_are_not_called_worse():
    found = compare({"best": pd.Series(STEPS), "other": pd.Series(STEPS[::-1])})["other"]
    assert (found.verdict, found.p) == ("not worse on the common seeds", 1)


def test_values_that_are_not_finite_are_left_out():
    good = [0.95, 0.96, 0.97, 0.96, 0.95, math.inf]
    bad = [0.91, 0.92, math.nan, 0.90, 0.89, 0.90]
    values = {"good": pd.Series(good), "bad": pd.Series(bad), "none": pd.Series([math.nan] * 6)}
    found = compare(values)
    assert found["good"].verdict == "best"
    assert (found["bad"].verdict, found["bad"].repetitions) == ("too few seeds", 4)
    assert (found["none"].verdict, found["none"].repetitions) == ("too few seeds", 0)
    table = comparisons(records({"good": good, "bad": bad, "none": [math.nan] * 6}))
    assert list(table["not_finite"]) == [1, 1, 6]
    assert list(readable_comparisons(table)["repetitions"]) == [
        "5 (1 not finite)",
        "4 (1 not finite)",
        "0 (6 not finite)",
    ]


class TestTable:
    def test_it_agrees_with_the_leaderboard_on_every_task(self):
        one, two = accuracies(4, 6), accuracies(3, 8)
        both = [
            records({name: list(own) for name, own in values.items()}, task)
            for task, values in (("digits", one), ("letters", two))
        ]
        table = comparisons(pd.concat(both))
        for task, values in (("digits", one), ("letters", two)):
            own = table[table["task"] == task]
            verdicts = {method: one.verdict for method, one in compare(values).items()}
            assert dict(zip(own["method"], own["verdict"], strict=True)) == verdicts

    def test_numbers_by_hand(self):
        """Differences of −1 to −5 points: t(0.975; 4) = 2.776445, √(2.5/5); p = 0.0132."""
        best = np.array([0.95, 0.96, 0.97, 0.96, 0.95])
        frame = records({"worse": list(best - np.array(STEPS) / 100), "gll": list(best)})
        table = comparisons(frame)
        assert list(table["method"]) == ["gll", "worse"]
        row = table.iloc[1]
        assert (row["best"], row["repetitions"]) == ("gll", 5)
        assert row["difference"] == pytest.approx(-3)
        assert row["ci_high"] - row["difference"] == pytest.approx(2.776445 * math.sqrt(0.5))
        assert row["p"] == row["p_holm"] == pytest.approx(0.0132, abs=1e-4)
        assert math.isnan(row["p_wilcoxon"])
        assert row["verdict"] == "worse (p = 0.013)"

    def test_texts_by_hand(self):
        best = np.array([0.95, 0.96, 0.97, 0.96, 0.95, 0.95])
        worse = best - np.array([*STEPS, 6]) / 100
        few = {"worse": list(worse), "few": [0.99] * 4, "gll": list(best)}
        texts = readable_comparisons(comparisons(records(few))).drop(
            columns=["task", "backbone", "training"]
        )
        assert texts.to_numpy().tolist() == [
            ["gll", "gll", "–", "6", "–", "–", "–", "best"],
            ["few", "gll", "3.00 ± 1.30", "4", "–", "–", "–", "too few seeds"],
            ["worse", "gll", "−3.50 ± 1.96", "6", "0.0059", "0.0059", "0.031", "worse"],
        ]

    def test_without_a_best_nothing_is_compared(self):
        texts = readable_comparisons(comparisons(records({"a": [0.9] * 4, "b": [0.1] * 4})))
        assert list(texts["best"]) == ["–", "–"]
        assert list(texts["difference [points]"]) == ["–", "–"]
        assert list(texts["repetitions"]) == ["4", "4"]

    def test_no_record_gives_an_empty_table(self):
        table = comparisons(records({}))
        assert list(table.columns) == COLUMNS
        assert readable_comparisons(table).empty

    def test_numbers_under_attack_and_other_metrics_are_left_out(self):
        frame = records({"gll": [0.9] * 5})
        others = [frame.assign(attack="pgd"), frame.assign(metric="last_step_accuracy")]
        assert comparisons(pd.concat([frame, *others]))["repetitions"].tolist() == [5]
