"""A history over commits has the numbers of past runs in order, and what changed between them."""

from typing import Any

import numpy as np
import pytest
from past_runs import Number, accuracy, past

from lapbench.reports.statistics.tests import interval
from lapbench.reports.tracking.history import QUANTITIES, changes, points


class TestPoints:
    def test_shares_have_means_with_t_intervals(self):
        table = points(past(accuracy), "accuracy")
        gll = table[(table["method"] == "gll") & (table["run"] == "run1")].iloc[0]
        expected = interval([0.89, 0.91])
        assert gll[["value", "low", "high"]].tolist() == pytest.approx(
            [expected.mean, expected.low, expected.high]
        )
        assert gll[["repetitions", "cells_ok", "cells_planned"]].tolist() == [2, 2, 2]
        assert gll["statistic"] == "mean, 95 % interval"

    @pytest.mark.parametrize("metric", ["step_ratio", "step_megabytes", "solve_iterations"])
    def test_others_have_medians_from_lowest_to_highest(self, metric: str):
        values = [1.0, 9.0, 2.0]
        records = past(
            lambda run, method, repetition: [(metric, values[repetition])], repetitions=3
        )
        row = points(records, metric).iloc[0]
        assert row[["low", "value", "high"]].tolist() == [1, 2, 9]

    def test_a_failed_method_has_no_number_and_other_runs_keep_theirs(self):
        def numbers(run: int, method: str, repetition: int) -> list[Number]:
            failed = run == 1 and method == "gll"
            return [("accuracy", None)] if failed else accuracy(run, method, repetition)

        table = points(past(numbers), "accuracy").set_index(["method", "run"])
        assert np.isnan(table.loc[("gll", "run1"), "value"])
        assert table.loc["gll", "cells_failed"].tolist() == [0, 2, 0]
        assert table.loc["gll", "cells_ok"].tolist() == [2, 0, 2]
        assert table.loc["softmax", "value"].notna().all()

    def test_a_method_that_always_failed_is_not_forgotten(self):
        def numbers(_: int, method: str, *__: object) -> list[Number]:
            return [("accuracy", None if method == "gll" else 0.9)]

        table = points(past(numbers), "accuracy")
        assert table.loc[table["method"] == "gll", "cells_failed"].tolist() == [2, 2, 2]

    def test_a_method_that_never_ran_has_no_line(self):
        records = past(accuracy)
        records.loc[records["method"] == "gll", ["status", "value"]] = "not run", np.nan
        assert set(points(records, "accuracy")["method"]) == {"softmax"}

    def test_the_worst_case_at_the_headline_goes_before_single_attacks(self):
        def numbers(*_: object) -> list[Number]:
            return [
                ("robust_accuracy", 0.9, {"attack": "none"}),
                ("robust_accuracy", 0.5, ball("pgd", 0.1)),
                ("robust_accuracy", 0.4, ball("worst case", 0.1)),
                ("robust_accuracy", 0.0, ball("worst case", 0.5)),
                ("joint_accuracy", 0.4, ball("worst case", 0.1)),
            ]

        table = points(past(numbers), "robust_accuracy")
        assert set(table["part"]) == {"worst case, ε = 0.1 (ℓ∞)"}
        assert set(table["value"]) == {0.4}

    def test_without_a_worst_case_each_attack_is_at_its_strongest_after_its_last_step(self):
        """The lowest signal-to-noise ratio, the largest share, the fewest bits."""

        def numbers(*_: object) -> list[Number]:
            kinds = [("noise", "snr", -1), ("dropout", "share", 1), ("quantization", "bits", -1)]
            levels = [
                ("robust_accuracy", 0.5 - 0.1 * sign * level, level_of(attack, parameter, level))
                for attack, parameter, sign in kinds
                for level in (1.0, 2.0)
            ]
            steps = [
                ("robust_accuracy", 1 / step, {**ball("pgd", 0.1), "steps": step})
                for step in (1, 10)
            ]
            return [*levels, *steps]

        table = points(past(numbers), "robust_accuracy").drop_duplicates("part")
        found = dict(zip(table["part"], table["value"], strict=True))
        assert found == pytest.approx(
            {
                "noise, SNR 1 dB": 0.6,
                "dropout, 200 %": 0.3,
                "quantization, 1 bits": 0.6,
                "pgd, ε = 0.1 (ℓ∞)": 0.1,
            }
        )

    def test_another_epsilon_is_another_panel(self):
        def numbers(run: int, *_: object) -> list[Number]:
            return [("robust_accuracy", 0.5, ball("pgd", 0.1 if run == 0 else 0.2))]

        found = (
            points(past(numbers), "robust_accuracy").dropna(subset="value").groupby("part")["run"]
        )
        assert {part: set(runs) for part, runs in found} == {
            "pgd, ε = 0.1 (ℓ∞)": {"run0"},
            "pgd, ε = 0.2 (ℓ∞)": {"run1", "run2"},
        }

    def test_each_stage_has_a_part_and_seconds_have_none(self):
        def numbers(*_: object) -> list[Number]:
            stages = [("stage_ratio: solve", 2.0), ("stage: solve", 0.1)]
            return [*stages, ("stage_ratio: backward", 3.0), ("step_seconds", 0.2)]

        records = past(numbers)
        table = points(records, "stage_ratio")
        assert set(zip(table["part"], table["value"], strict=True)) == {
            ("solve", 2.0),
            ("backward", 3.0),
        }
        others = QUANTITIES.keys() - {"stage_ratio"}
        assert all(points(records, metric).empty for metric in others)


def level_of(attack: str, parameter: str, level: float) -> dict[str, Any]:
    return {"attack": attack, "parameter": parameter, "level": level}


def ball(attack: str, epsilon: float) -> dict[str, Any]:
    return {**level_of(attack, "epsilon", epsilon), "norm": "linf"}


class TestChanges:
    @staticmethod
    def found(values: list[str], column: str) -> list[tuple[str, str, str]]:
        records = past(accuracy, runs=len(values), about=lambda run: {column: values[run]})
        table = changes(records)
        assert set(table["what"]) <= {column}
        return list(table[["run", "before", "after"]].itertuples(index=False, name=None))

    @pytest.mark.parametrize("column", ["processor", "torch", "data"])
    def test_they_are_where_a_value_is_not_that_of_the_run_before(self, column: str):
        found = self.found(["a", "a", "b", "a"], column)
        assert found == [("run2", "a", "b"), ("run3", "b", "a")]

    def test_unknown_data_are_passed_over(self):
        assert self.found(["", "a", "", "a"], "data") == []
        assert self.found(["a", "", "b"], "data") == [("run2", "a", "b")]

    def test_data_concern_their_task_alone(self):
        records = past(accuracy, tasks=("digits", "moons"))
        new = (records["task"] == "moons") & (records["run"] == "run2")
        records.loc[new, "data"] = "other"
        (change,) = changes(records).itertuples()
        assert (change.run, change.task) == ("run2", "moons")
