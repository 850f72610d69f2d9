"""Verdicts on two runs: by construction, by hand, and beside SciPy."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lapbench.reports.tracking.kinds import KINDS, Kind
from lapbench.reports.tracking.regression import COLUMNS, compare_numbers

ROW = {"task": "digits", "backbone": "mlp", "training": "natural", "method": "gll"}
CLEAN = {"attack": "", "norm": "", "parameter": "", "level": 0.0, "steps": 0}
PGD = {"attack": "pgd", "norm": "linf", "parameter": "epsilon", "level": 0.1, "steps": 10}
BASE = [0.95, 0.96, 0.97, 0.96, 0.95]
LIKELIHOOD = [0.2, 0.21, 0.2, 0.19, 0.2]
TIMES = [2.0, 2.01, 2.02, 2.03, 2.04]


def records(metric: str, values: list[float], **about: object) -> pd.DataFrame:
    """A tidy frame of one number of one row, repetition by repetition."""
    rows = [
        {**ROW, **CLEAN, "status": "ok", "metric": metric, "repetition": r, "value": value, **about}
        for r, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def line(metric: str, old: list[float], new: list[float], **about: object) -> pd.Series:
    """The one line on a number."""
    table = compare_numbers(records(metric, old, **about), records(metric, new, **about))
    assert list(table.columns) == COLUMNS
    (only,) = (row for _, row in table.iterrows())
    return only


def verdict(metric: str, old: list[float], new: list[float], **about: object) -> str:
    return str(line(metric, old, new, **about)["verdict"])


def changed_by(points: list[float]) -> list[float]:
    return [base + change / 100 for base, change in zip(BASE, points, strict=True)]


WORSE = changed_by([-1, -2, -3, -4, -5])
"""p = 0.0132 of the paired test."""


class TestPaired:
    @pytest.mark.parametrize(
        ("points", "expected"),
        [
            ([-1.9, -2.1, -2.0, -1.9, -2.1], "worse"),
            ([2.1, 1.9, 2.0, 2.1, 1.9], "better"),
            ([-0.4, -0.6, -0.5, -0.4, -0.6], "same"),
            ([0.6, 0.4, 0.5, 0.6, 0.4], "same"),
            ([-5, -11, 1, -11, 1], "not enough samples"),
            ([-2.0] * 5, "worse"),
            ([-1.0] * 5, "same"),
            ([0.0] * 5, "same"),
        ],
    )
    def test_worse_is_significant_and_beyond_the_margin(self, points: list[float], expected: str):
        assert verdict("accuracy", BASE, changed_by(points)) == expected

    def test_numbers_by_hand(self):
        """Differences of −1 to −5 points: t(0.975; 4) = 2.776445, √(2.5/5); p = 0.0132."""
        row = line("accuracy", BASE, WORSE)
        assert row["change"] == pytest.approx(-0.03)
        assert row["ci_high"] - row["change"] == pytest.approx(0.02776445 * math.sqrt(0.5))
        assert row["change"] - row["ci_low"] == pytest.approx(0.02776445 * math.sqrt(0.5))
        assert row["p"] == pytest.approx(0.0132, abs=1e-4)
        assert row["p"] == pytest.approx(stats.ttest_rel(WORSE, BASE).pvalue)
        assert (row["verdict"], row["why"]) == ("worse", "p = 0.013")
        assert (row["baseline"], row["new"]) == pytest.approx((0.958, 0.928))

    @pytest.mark.parametrize(("rows", "expected"), [(3, "worse"), (4, "not enough samples")])
    def test_p_is_corrected_for_all_rows_that_moved(self, rows: int, expected: str):
        """Two rows more are identical."""
        new = {f"moved {i}": WORSE for i in range(rows)} | {"a": BASE, "b": BASE}
        before, after = (
            pd.concat([records("accuracy", values, method=name) for name, values in side.items()])
            for side in (dict.fromkeys(new, BASE), new)
        )
        table = compare_numbers(before, after).set_index("method")
        assert table.loc["moved 0", "verdict"] == expected
        assert table.loc["moved 0", "p"] == pytest.approx(0.0132 * rows, rel=1e-2)
        assert f" {rows} rows" in table.loc["moved 0", "why"]
        assert table.loc[["a", "b"], "why"].tolist() == ["identical"] * 2

    def test_numbers_of_one_row_are_not_corrected_for_each_other(self):
        def both(values: list[float]) -> pd.DataFrame:
            levels = [{**PGD, "level": level} for level in (0.1, 0.2, 0.3, 0.4)]
            attacked = [records("robust_accuracy", values, **about) for about in levels]
            return pd.concat([records("accuracy", values), *attacked])

        assert compare_numbers(both(BASE), both(WORSE))["p"].tolist() == pytest.approx(
            [0.0132] * 5, rel=1e-2
        )

    @pytest.mark.parametrize(
        ("count", "shift", "expected"),
        [(4, -0.5, "not enough samples"), (4, 0.0, "same"), (1, -0.001, "not enough samples")],
    )
    def test_below_five_repetitions_only_equality_is_known(
        self, count: int, shift: float, expected: str
    ):
        row = line("accuracy", BASE[:count], [each + shift for each in BASE[:count]])
        assert (row["verdict"], row["repetitions"]) == (expected, count)

    def test_repetitions_are_paired_by_their_names_and_only_common_ones_count(self):
        old = records("accuracy", [*BASE, 0.1, 0.1])
        row = compare_numbers(old, records("accuracy", BASE).iloc[::-1]).iloc[0]
        assert (row["repetitions"], row["why"]) == (5, "identical")

    def test_a_large_change_without_significance_may_be_worse(self):
        assert (
            "may be worse, p = 0.1"
            in line("accuracy", BASE, changed_by([-5, -11, 1, -11, 1]))["why"]
        )

    def test_each_level_of_an_attack_has_a_line_on_what_its_last_step_left(self):
        def attacked(worst: float) -> pd.DataFrame:
            numbers = [(0.1, 5, 0.2), (0.1, 10, 0.9), (0.2, 10, worst)]
            about = [({**PGD, "level": level, "steps": s}, v) for level, s, v in numbers]
            clean = records("robust_accuracy", BASE, attack="none")
            parts = [records("robust_accuracy", [v] * 5, **more) for more, v in about]
            return pd.concat([clean, *parts])

        row = compare_numbers(attacked(0.5), attacked(0.3)).set_index("level")
        assert row["baseline"].to_dict() == pytest.approx({0.1: 0.9, 0.2: 0.5})
        assert row["verdict"].to_dict() == {0.1: "same", 0.2: "worse"}

    @pytest.mark.parametrize(
        ("metric", "old", "factor", "expected"),
        [
            ("robust_accuracy", [0.5] * 5, 0.95, "same"),
            ("robust_accuracy", [0.5] * 5, 0.93, "worse"),
            ("negative_log_likelihood", LIKELIHOOD, 1.05, "same"),
            ("negative_log_likelihood", LIKELIHOOD, 1.2, "worse"),
            ("negative_log_likelihood", LIKELIHOOD, 0.8, "better"),
        ],
    )
    def test_other_margins(self, metric: str, old: list[float], factor: float, expected: str):
        about = PGD if metric == "robust_accuracy" else {}
        assert verdict(metric, old, [factor * each for each in old], **about) == expected


class TestUntested:
    @pytest.mark.parametrize(
        ("metric", "old", "new", "expected"),
        [
            ("gradient_error", 1e-9, 1e-8, "same"),
            ("gradient_error", 1e-9, 1.0, "worse"),
            ("gradient_error", 1e-8, 5e-7, "same"),
            ("gradient_error", 1e-3, 5e-3, "same"),
            ("gradient_error", 1.0, 1e-9, "better"),
            ("gradient_error", 0.9, 0.95, "same"),
            ("gradient_error", 0.9, 2.0, "worse"),
            ("solve_iterations", 20, 21, "same"),
            ("solve_iterations", 100, 110, "same"),
            ("solve_iterations", 100, 111, "worse"),
            ("solve_iterations", 4, 6, "same"),
            ("solve_iterations", 4, 7, "worse"),
            ("solve_iterations", 40, 20, "better"),
            ("saved_megabytes", 100.0, 100.0, "same"),
            ("saved_megabytes", 100.0, 100.000004, "worse"),
            ("saved_megabytes", 100.0, 99.999996, "better"),
            ("first_step_loss", 2.0, 2.001, "same"),
            ("first_step_loss", 2.0, 2.003, "changed"),
            ("first_step_loss", 2.0, 1.8, "changed"),
            ("first_step_length", 0.2, 0.201, "same"),
            ("first_step_length", 0.2, 0.203, "changed"),
            ("first_step_length", 0.2, 0.1, "changed"),
        ],
    )
    def test_margins(self, metric: str, old: float, new: float, expected: str):
        for repetitions in (1, 5):
            assert verdict(metric, [old] * repetitions, [new] * repetitions) == expected

    @pytest.mark.parametrize(
        ("metric", "old", "new", "expected"),
        [
            # Of iterations the median counts, of the others each repetition: those for the worse
            # before larger ones for the better, those beyond the margin before larger ones within.
            ("solve_iterations", [20] * 5, [20] * 4 + [90], "same"),
            ("gradient_error", [1e-9] * 5, [1e-9] * 4 + [1.0], "worse"),
            ("gradient_error", [1e-9, 0.9], [0.5, 1e-9], "worse"),
            ("first_step_loss", [1.0, 1e6], [1.01, 1e6 + 500], "changed"),
            ("first_step_loss", [1.0, 2.0, 1.0, 2.0], [2.0, 1.0, 2.0, 1.0], "changed"),
        ],
    )
    def test_repetitions_that_differ(
        self, metric: str, old: list[float], new: list[float], expected: str
    ):
        assert verdict(metric, old, new) == expected

    def test_the_worst_repetition_is_shown_with_its_meaning(self):
        row = line("gradient_error", [1e-9] * 5, [1e-9] * 4 + [1.0])
        assert (row["baseline"], row["new"]) == (1e-9, 1.0)
        assert "finite differences" in row["why"]


class TestRanks:
    @pytest.mark.parametrize(
        ("factor", "repetitions", "expected"),
        [
            (1.6, 5, "worse"),
            (1.6, 4, "worse"),
            (1.4, 5, "same"),
            (1.5, 5, "same"),
            (3.0, 2, "not enough samples"),
            (3.0, 3, "not enough samples"),
            (1.4, 1, "same"),
            (0.5, 5, "better"),
            (0.5, 2, "not enough samples"),
        ],
    )
    @pytest.mark.parametrize("metric", ["step_ratio", "stage_ratio: solve"])
    def test_a_factor_and_a_rank_test(
        self, metric: str, factor: float, repetitions: int, expected: str
    ):
        old = TIMES[:repetitions]
        assert verdict(metric, old, [factor * each for each in old]) == expected

    def test_the_change_is_the_new_median_over_the_old(self):
        row = line("stage_ratio: solve", TIMES, [3 * each for each in TIMES])
        assert row["change"] == pytest.approx(3)
        assert "stage solve takes 3 times" in row["why"]
        assert row["why"].endswith("p = 0.0079")

    def test_four_repetitions_are_the_fewest_that_can_decide(self):
        """The smallest p is 2/C(2n, n): 2/70 with n = 4, and 2/20 with n = 3."""
        row = line("step_ratio", [1.0, 1.1, 1.2, 1.3], [3.0, 3.1, 3.2, 3.3])
        assert row["p"] == pytest.approx(2 / 70)

    def test_p_by_counting_all_orders(self):
        old, new = [1.0, 1.2, 1.4, 1.6, 5.0], [1.5, 2.2, 2.4, 2.6, 2.8]
        pooled = np.array([*old, *new])
        wins = [
            sum(a < b for a in np.delete(pooled, list(own)) for b in pooled[list(own)])
            for own in combinations(range(10), 5)
        ]
        row = sum(a < b for a in old for b in new)
        extreme = [abs(each - 12.5) >= abs(row - 12.5) for each in wins]
        assert line("step_ratio", old, new)["p"] == pytest.approx(np.mean(extreme))

    def test_medians_that_differ_by_chance_are_not_enough(self):
        row = line("step_ratio", [1.0, 1.0, 1.1, 5.0, 6.0], [1.2, 1.3, 2.0, 2.1, 2.2])
        assert row["change"] == pytest.approx(2.0 / 1.1)
        assert row["verdict"] == "not enough samples"
        assert row["why"].startswith("may be worse, p = ")

    @pytest.mark.parametrize(("new", "expected"), [(0.0, "same"), (1.0, "worse")])
    def test_a_time_of_zero_is_no_division(self, new: float, expected: str):
        assert verdict("step_ratio", [0.0] * 5, [new] * 5) == expected


class TestWhatIsMissing:
    def test_a_lost_number_is_changed_and_a_new_one_has_no_line(self):
        more = pd.concat([records("accuracy", BASE), records("gradient_error", [1e-9])])
        less = records("accuracy", BASE)
        row = compare_numbers(more, less).set_index("metric")
        assert row["verdict"].to_dict() == {"accuracy": "same", "gradient_error": "changed"}
        assert compare_numbers(less, more)["metric"].tolist() == ["accuracy"]

    @pytest.mark.parametrize(
        ("metric", "expected"),
        [("accuracy", "worse"), ("step_ratio", "worse"), ("first_step_loss", "changed")],
    )
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_number_that_is_no_longer_finite_fails(self, metric: str, expected: str, bad: float):
        row = line(metric, [1.0] * 5, [1.0] * 3 + [bad] * 2)
        assert (row["verdict"], row["repetitions"]) == (expected, 3)
        assert row["why"].startswith("2 of 5 repetitions")

    def test_where_the_baseline_is_not_finite_the_repetition_is_left_out(self):
        row = line("accuracy", [*BASE, math.nan], [*BASE, 0.2])
        assert (row["why"], row["repetitions"]) == ("identical", 5)
        frame = records("accuracy", [math.nan] * 5)
        assert compare_numbers(frame, records("accuracy", BASE)).empty

    def test_cells_without_a_result_on_either_side_are_left_out(self):
        new = records("accuracy", BASE)
        new.loc[0, ["status", "metric", "value"]] = ["failed", math.nan, math.nan]
        row = compare_numbers(records("accuracy", BASE), new).iloc[0]
        assert (row["verdict"], row["repetitions"]) == ("same", 4)
        new = records("accuracy", BASE).assign(status="failed", metric=None, value=math.nan)
        assert compare_numbers(records("accuracy", BASE), new).empty

    def test_absolute_times_are_never_compared(self):
        times = ["step_seconds", "training_seconds", "stage: solve", "attack_seconds"]
        old = pd.concat([records(metric, [1.0] * 5) for metric in times])
        assert compare_numbers(old, old.assign(value=100.0)).empty

    def test_where_samples_are_not_the_same_only_what_needs_no_pairs_is_compared(self):
        metrics = ["accuracy", "first_step_loss", "gradient_error", "step_ratio", "saved_megabytes"]
        frame = pd.concat([records(metric, BASE) for metric in metrics])
        row = compare_numbers(frame, frame, unpaired=["digits"])
        assert row["metric"].tolist() == ["step_ratio"]
        assert len(compare_numbers(frame, frame, unpaired=["karate"])) == 5


@pytest.mark.parametrize(
    ("kind", "change", "baseline", "expected"),
    [
        (Kind("paired", 1, least=0.01), 0.96 - 0.95, 0.95, False),
        (Kind("paired", 1, least=0.01), -0.0101, 0.95, True),
        (Kind("median", -1, share=0.1, least=2), 2.5, 100, False),
        (Kind("ranks", -1, share=0.5), 1.51, 1, True),
        (Kind("ranks", -1, share=0.5), 0.66, 1, True),
        (Kind("ranks", -1, share=0.5), 0.67, 1, False),
    ],
)
def test_margins_are_kept_up_to_rounding(
    kind: Kind, change: float, baseline: float, expected: bool
):
    assert kind.exceeds(change, baseline) == expected


def test_only_shares_are_better_where_they_are_more():
    """Texts, and limits in points, rely on it."""
    for metric, kind in KINDS.items():
        assert (kind.better > 0) == metric.endswith("accuracy")
