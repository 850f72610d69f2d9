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
UP = [0.1, -0.1, 0.0, 0.1, -0.1]
BASE = [0.95, 0.96, 0.97, 0.96, 0.95]


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


class TestPaired:
    @pytest.mark.parametrize(
        ("points", "expected"),
        [
            ([-2 + each for each in UP], "worse"),
            ([2 + each for each in UP], "better"),
            ([-0.5 + each for each in UP], "same"),
            ([0.5 + each for each in UP], "same"),
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
        found = line("accuracy", BASE, changed_by([-1, -2, -3, -4, -5]))
        assert found["change"] == pytest.approx(-0.03)
        assert found["ci_high"] - found["change"] == pytest.approx(0.02776445 * math.sqrt(0.5))
        assert found["change"] - found["ci_low"] == pytest.approx(0.02776445 * math.sqrt(0.5))
        assert found["p"] == pytest.approx(0.0132, abs=1e-4)
        assert (found["verdict"], found["why"]) == ("worse", "p = 0.013")
        assert (found["baseline"], found["new"]) == pytest.approx((0.958, 0.928))

    def test_p_is_that_of_the_paired_test_of_scipy(self):
        new = changed_by([-3, -1, -4, -1, -5])
        assert line("accuracy", BASE, new)["p"] == pytest.approx(stats.ttest_rel(new, BASE).pvalue)

    @pytest.mark.parametrize(("rows", "expected"), [(3, "worse"), (4, "not enough samples")])
    def test_p_is_corrected_for_all_rows_that_moved(self, rows: int, expected: str):
        """p = 0.0132 of each; two rows more are identical."""
        worse = changed_by([-1, -2, -3, -4, -5])
        new = {f"moved {i}": worse for i in range(rows)} | {"a": BASE, "b": BASE}
        old = dict.fromkeys(new, BASE)
        before, after = (
            pd.concat([records("accuracy", values, method=name) for name, values in side.items()])
            for side in (old, new)
        )
        table = compare_numbers(before, after).set_index("method")
        assert table.loc["moved 0", "verdict"] == expected
        assert table.loc["moved 0", "p"] == pytest.approx(0.0132 * rows, rel=1e-2)
        assert table.loc["moved 0", "why"].endswith(f"after correction for {rows} rows that moved")
        assert table.loc[["a", "b"], "why"].tolist() == ["identical"] * 2

    def test_numbers_of_one_row_are_not_corrected_for_each_other(self):
        worse = changed_by([-1, -2, -3, -4, -5])
        levels = [{**PGD, "level": level} for level in (0.1, 0.2, 0.3, 0.4)]

        def both(values: list[float]) -> pd.DataFrame:
            attacked = [records("robust_accuracy", values, **about) for about in levels]
            return pd.concat([records("accuracy", values), *attacked])

        found = compare_numbers(both(BASE), both(worse)).set_index("metric")
        assert found.loc["accuracy", "verdict"] == "worse"
        assert found["p"].tolist() == pytest.approx([0.0132] * 5, rel=1e-2)

    def test_it_is_paired_by_the_name_of_the_repetition_not_its_place(self):
        old, new = records("accuracy", BASE), records("accuracy", BASE)
        assert compare_numbers(old, new.iloc[::-1])["why"].tolist() == ["identical"]

    @pytest.mark.parametrize(
        ("count", "shift", "expected"),
        [(4, -0.5, "not enough samples"), (4, 0.0, "same"), (1, -0.5, "not enough samples")],
    )
    def test_below_five_repetitions_only_equality_is_known(
        self, count: int, shift: float, expected: str
    ):
        old = BASE[:count]
        found = line("accuracy", old, [each + shift for each in old])
        assert found["verdict"] == expected
        assert found["repetitions"] == count

    def test_a_large_change_without_significance_may_be_worse(self):
        found = line("accuracy", BASE, changed_by([-5, -11, 1, -11, 1]))
        assert found["why"].startswith("may be worse, p = 0.1")

    def test_only_common_repetitions_count(self):
        old = records("accuracy", [*BASE, 0.1, 0.1])
        found = compare_numbers(old, records("accuracy", BASE)).iloc[0]
        assert (found["repetitions"], found["why"]) == (5, "identical")

    @pytest.mark.parametrize(("points", "expected"), [(-2.5, "same"), (-3.5, "worse")])
    def test_under_an_attack_the_margin_is_three_points(self, points: float, expected: str):
        assert verdict("robust_accuracy", BASE, changed_by([points] * 5), **PGD) == expected

    def test_without_an_attack_robust_accuracy_is_not_compared(self):
        frame = records("robust_accuracy", BASE, attack="none")
        assert compare_numbers(frame, frame).empty

    def test_of_an_attack_only_what_the_last_step_left_is_compared(self):
        def both(last: float) -> pd.DataFrame:
            steps = [({**PGD, "steps": 5}, 0.9), (PGD, last)]
            return pd.concat([records("robust_accuracy", [v] * 5, **about) for about, v in steps])

        found = compare_numbers(both(0.5), both(0.4))
        assert found["baseline"].tolist() == pytest.approx([0.5])
        assert found["verdict"].tolist() == ["worse"]

    def test_attacks_and_levels_have_lines_of_their_own(self):
        def attacked(worst: float) -> pd.DataFrame:
            levels = [(0.1, 0.9), (0.2, worst)]
            return pd.concat(
                [records("robust_accuracy", [v] * 5, **{**PGD, "level": e}) for e, v in levels]
            )

        found = compare_numbers(attacked(0.5), attacked(0.3))
        assert found.set_index("level")["verdict"].to_dict() == {0.1: "same", 0.2: "worse"}

    @pytest.mark.parametrize(
        ("factor", "expected"), [(1.05, "same"), (1.2, "worse"), (0.8, "better")]
    )
    def test_the_margin_of_likelihood_is_a_share_of_the_baseline(
        self, factor: float, expected: str
    ):
        old = [0.2, 0.21, 0.2, 0.19, 0.2]
        new = [factor * each for each in old]
        assert verdict("negative_log_likelihood", old, new) == expected


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
            ("step_megabytes", 1.0, 2.9, "same"),
            ("step_megabytes", 100.0, 124.0, "same"),
            ("step_megabytes", 100.0, 126.0, "worse"),
            ("first_step_loss", 2.0, 2.001, "same"),
            ("first_step_loss", 2.0, 2.003, "changed"),
            ("first_step_loss", 2.0, 1.8, "changed"),
            ("first_step_length", 0.2, 0.201, "same"),
            ("first_step_length", 0.2, 0.203, "changed"),
            ("first_step_length", 0.2, 0.1, "changed"),
        ],
    )
    @pytest.mark.parametrize("repetitions", [1, 5])
    def test_margins(self, metric: str, old: float, new: float, expected: str, repetitions: int):
        assert verdict(metric, [old] * repetitions, [new] * repetitions) == expected

    def test_one_repetition_is_enough_and_the_worst_is_shown(self):
        found = line("gradient_error", [1e-9] * 5, [1e-9] * 4 + [1.0])
        assert (found["verdict"], found["baseline"], found["new"]) == ("worse", 1e-9, 1.0)
        assert "in 1 of 5 repetitions" in found["why"]

    def test_a_worse_repetition_counts_before_a_better_one(self):
        assert verdict("gradient_error", [1e-9, 0.9], [0.5, 1e-9]) == "worse"

    @pytest.mark.parametrize("metric", ["step_megabytes", "solve_iterations"])
    def test_of_what_varies_the_median_counts(self, metric: str):
        assert verdict(metric, [20] * 5, [20] * 4 + [90]) == "same"

    def test_changes_of_both_signs_do_not_cancel_without_a_direction(self):
        assert verdict("first_step_loss", [1.0, 2.0, 1.0, 2.0], [2.0, 1.0, 2.0, 1.0]) == "changed"

    def test_a_failure_says_what_it_means(self):
        found = line("gradient_error", [1e-9], [1.0])
        assert found["why"].startswith("its gradient no longer agrees with finite differences")


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
        old = [2.0 + 0.01 * number for number in range(repetitions)]
        assert verdict(metric, old, [factor * each for each in old]) == expected

    def test_four_repetitions_are_the_fewest_that_can_decide(self):
        """2/C(2n, n) is 2/70 with n = 4, and 2/20 with n = 3."""
        for count, possible in ((3, False), (4, True)):
            p = 2 / math.comb(2 * count, count)
            assert (p < 0.05) == possible
        found = line("step_ratio", [1.0, 1.1, 1.2, 1.3], [3.0, 3.1, 3.2, 3.3])
        assert found["p"] == pytest.approx(2 / 70)

    def test_p_by_counting_all_orders(self):
        old, new = [1.0, 1.2, 1.4, 1.6, 5.0], [1.5, 2.2, 2.4, 2.6, 2.8]
        pooled = np.array([*old, *new])
        wins = [
            sum(a < b for a in np.delete(pooled, list(own)) for b in pooled[list(own)])
            for own in combinations(range(10), 5)
        ]
        found = sum(a < b for a in old for b in new)
        extreme = [abs(each - 12.5) >= abs(found - 12.5) for each in wins]
        assert line("step_ratio", old, new)["p"] == pytest.approx(np.mean(extreme))

    def test_medians_that_differ_by_chance_are_not_enough(self):
        found = line("step_ratio", [1.0, 1.0, 1.1, 5.0, 6.0], [1.2, 1.3, 2.0, 2.1, 2.2])
        assert found["change"] == pytest.approx(2.0 / 1.1)
        assert found["verdict"] == "not enough samples"
        assert found["why"].startswith("may be worse, p = ")

    @pytest.mark.parametrize(
        ("iterations", "said"), [(20, "iterations unchanged"), (40, "iterations 20 → 40")]
    )
    def test_a_slow_stage_says_what_became_of_its_iterations(self, iterations: int, said: str):
        def run(factor: float, iterations: int) -> pd.DataFrame:
            times = records("stage_ratio: solve", [factor * each for each in BASE])
            return pd.concat([times, records("solve_iterations", [iterations] * 5)])

        table = compare_numbers(run(1, 20), run(2, iterations)).set_index("metric")
        expected = f"the stage solve takes 2 times as long beside softmax, p = 0.0079; {said}"
        assert table.loc["stage_ratio: solve", "why"] == expected

    @pytest.mark.parametrize(("new", "expected"), [(0.0, "same"), (1.0, "worse")])
    def test_a_time_of_zero_is_no_division(self, new: float, expected: str):
        assert verdict("step_ratio", [0.0] * 5, [new] * 5) == expected


class TestWhatIsMissing:
    def test_a_number_that_is_no_longer_measured_is_changed(self):
        old = pd.concat([records("accuracy", BASE), records("gradient_error", [1e-9])])
        found = compare_numbers(old, records("accuracy", BASE)).set_index("metric")
        assert found.loc["gradient_error", "verdict"] == "changed"
        assert found.loc["gradient_error", "why"] == "it is not measured any more"
        assert found.loc["accuracy", "verdict"] == "same"

    def test_a_new_number_has_no_line(self):
        new = pd.concat([records("accuracy", BASE), records("gradient_error", [1e-9])])
        assert compare_numbers(records("accuracy", BASE), new)["metric"].tolist() == ["accuracy"]

    @pytest.mark.parametrize(
        ("metric", "expected"),
        [("accuracy", "worse"), ("step_ratio", "worse"), ("first_step_loss", "changed")],
    )
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_number_that_is_no_longer_finite_fails(self, metric: str, expected: str, bad: float):
        found = line(metric, [1.0] * 5, [1.0] * 3 + [bad] * 2)
        assert found["verdict"] == expected
        assert found["why"] == "2 of 5 repetitions have no finite number any more"

    def test_where_the_baseline_is_not_finite_the_repetition_is_left_out(self):
        found = line("accuracy", [*BASE, math.nan], [*BASE, 0.2])
        assert (found["why"], found["repetitions"]) == ("identical", 5)
        frame = records("accuracy", [math.nan] * 5)
        assert compare_numbers(frame, records("accuracy", BASE)).empty

    def test_cells_without_a_result_on_either_side_are_left_out(self):
        old, new = records("accuracy", BASE), records("accuracy", BASE)
        new.loc[0, ["status", "metric", "value"]] = ["failed", math.nan, math.nan]
        found = compare_numbers(old, new).iloc[0]
        assert (found["verdict"], found["repetitions"]) == ("same", 4)

    def test_a_row_without_a_result_has_no_line(self):
        new = records("accuracy", BASE).assign(status="failed", metric=None, value=math.nan)
        assert compare_numbers(records("accuracy", BASE), new).empty

    def test_absolute_times_are_never_compared(self):
        times = ["step_seconds", "training_seconds", "stage: solve", "attack_seconds"]
        old = pd.concat([records(metric, [1.0] * 5) for metric in times])
        assert compare_numbers(old, old.assign(value=100.0)).empty

    def test_where_samples_are_not_the_same_only_what_needs_no_pairs_is_compared(self):
        metrics = ["accuracy", "first_step_loss", "gradient_error", "step_ratio", "step_megabytes"]
        frame = pd.concat([records(metric, BASE) for metric in metrics])
        found = compare_numbers(frame, frame, unpaired=["digits"])
        assert found["metric"].tolist() == ["step_ratio", "step_megabytes"]
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
