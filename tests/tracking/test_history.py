"""A history over commits has the numbers of past runs in order, and what changed between them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from make_results import Number, accuracy, past

from lapbench.reports.statistics.tests import interval
from lapbench.reports.tracking.history import changes, points
from lapbench.reports.tracking.kinds import KINDS


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

    @pytest.mark.parametrize("metric", ["step_ratio", "saved_megabytes", "solve_iterations"])
    def test_others_have_medians_from_lowest_to_highest(self, metric: str):
        values = [1.0, 9.0, 2.0]
        records = past(
            lambda run, method, repetition: [(metric, values[repetition])], repetitions=3
        )
        row = points(records, metric).iloc[0]
        assert row[["low", "value", "high"]].tolist() == [1, 2, 9]

    def test_failures_are_counted_and_a_method_that_always_failed_has_a_line(self):
        def numbers(run: int, method: str, repetition: int) -> list[Number]:
            failed = method == "svm" or (run == 1 and method == "gll")
            return [("accuracy", None)] if failed else accuracy(run, method, repetition)

        records = past(numbers, methods=("softmax", "gll", "svm"))
        table = points(records, "accuracy").set_index(["method", "run"])
        assert np.isnan(table.loc[("gll", "run1"), "value"])
        assert table.loc["gll", "cells_failed"].tolist() == [0, 2, 0]
        assert table.loc["gll", "cells_ok"].tolist() == [2, 0, 2]
        assert table.loc["svm", "cells_failed"].tolist() == [2, 2, 2]
        assert table.loc["softmax", "value"].notna().all()

    def test_a_method_that_never_ran_has_no_line(self):
        records = past(accuracy)
        records.loc[records["method"] == "gll", ["status", "value"]] = "not run", np.nan
        assert set(points(records, "accuracy")["method"]) == {"softmax"}

    def test_attacks_and_levels_have_parts_unless_there_is_a_worst_case(self):
        def single(*_: object) -> list[Number]:
            noise = [
                ("robust_accuracy", 0.1 * snr, level_of("noise", "snr", snr)) for snr in (1, 2)
            ]
            pgd = [("robust_accuracy", 1 / s, {**ball("pgd", 0.1), "steps": s}) for s in (1, 10)]
            return [("robust_accuracy", 0.9, {"attack": "none"}), *noise, *pgd]

        def numbers(*about: object) -> list[Number]:
            worst = [("robust_accuracy", 0.4 - e, ball("worst case", e)) for e in (0.1, 0.2)]
            return [*single(*about), *worst]

        def values(records: pd.DataFrame) -> dict[str, float]:
            table = points(records, "robust_accuracy").drop_duplicates("part")
            return dict(zip(table["part"], table["value"], strict=True))

        expected = {"noise, SNR 1 dB": 0.1, "noise, SNR 2 dB": 0.2, "pgd, ε = 0.1 (ℓ∞)": 0.1}
        assert values(past(single)) == pytest.approx(expected)
        expected = {"worst case, ε = 0.1 (ℓ∞)": 0.3, "worst case, ε = 0.2 (ℓ∞)": 0.2}
        assert values(past(numbers)) == pytest.approx(expected)

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
        others = KINDS.keys() - {"stage_ratio"}
        assert all(points(records, metric).empty for metric in others)


def level_of(attack: str, parameter: str, level: float) -> dict[str, Any]:
    return {"attack": attack, "parameter": parameter, "level": level}


def ball(attack: str, epsilon: float) -> dict[str, Any]:
    return {**level_of(attack, "epsilon", epsilon), "norm": "linf"}


class TestChanges:
    @staticmethod
    def changes(values: list[str], column: str) -> list[tuple[str, str, str]]:
        records = past(accuracy, runs=len(values), about=lambda run: {column: values[run]})
        table = changes(records)
        assert set(table["what"]) <= {column}
        return list(table[["run", "before", "after"]].itertuples(index=False, name=None))

    @pytest.mark.parametrize("column", ["processor", "torch", "data"])
    def test_they_are_where_a_value_is_not_that_of_the_run_before(self, column: str):
        named = self.changes(["a", "a", "b", "a"], column)
        assert named == [("run2", "a", "b"), ("run3", "b", "a")]

    def test_unknown_data_are_passed_over(self):
        assert self.changes(["", "a", "", "a"], "data") == []
        assert self.changes(["a", "", "b"], "data") == [("run2", "a", "b")]
