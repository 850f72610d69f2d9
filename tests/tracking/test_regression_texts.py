"""What became of cells, and a comparison of two runs in words."""

import math
from typing import Any

import pandas as pd
import pytest

from lapbench.reports.tracking.cells import CELLS, DATA, compare_cells, data_lines
from lapbench.reports.tracking.regression import as_table
from lapbench.reports.tracking.text import (
    conclusion,
    describe_same,
    one_line,
    readable_lines,
    worst_first,
)

ROW = {"task": "digits", "backbone": "mlp", "training": "natural", "method": "gll"}
UNATTACKED = {"attack": "", "norm": "", "parameter": "", "level": 0.0}


def texts(metric: str, baseline: float, new: float, change: float, **about: Any) -> dict[str, str]:
    """The texts of a line."""
    numbers = {"repetitions": 5, "baseline": baseline, "new": new, "change": change}
    table = as_table([{**ROW, **UNATTACKED, "metric": metric, **numbers, **about}])
    return dict(readable_lines(table).iloc[0])


def cells(*statuses: str, **about: object) -> pd.DataFrame:
    rows = [
        {**ROW, "repetition": r, "status": status, "reason": f"reason {r}", **about}
        for r, status in enumerate(statuses)
    ]
    return pd.DataFrame(rows, columns=[*ROW, "repetition", "status", "reason"])


class TestCells:
    @pytest.mark.parametrize("status", ["failed", "diverged", "skipped", "refused"])
    def test_a_cell_that_was_ok_and_is_not_is_worse(self, status: str):
        (found,) = compare_cells(cells("ok", "ok"), cells("ok", status)).to_dict("records")
        assert (found["metric"], found["verdict"]) == (CELLS, "worse")
        assert found["why"] == f"repetition 1 {status} (reason 1)"
        assert (found["baseline"], found["new"], found["change"]) == (2, 1, -1)

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            (["ok", "ok"], ["ok", "ok"], None),
            (["failed"], ["failed"], None),
            (["skipped"], ["skipped"], None),
            (["skipped"], ["failed"], "worse"),
            (["ok"], ["not run"], "worse"),
            (["ok", "ok"], ["ok"], "changed"),
            (["ok", "ok"], ["not run", "failed"], "worse"),
            (["failed"], ["ok"], "better"),
            (["refused"], ["ok"], "not enough samples"),
            (["not run"], ["ok"], "not enough samples"),
            (["not run"], ["not run"], None),
        ],
    )
    def test_verdicts(self, old: list[str], new: list[str], expected: str | None):
        found = compare_cells(cells(*old), cells(*new))["verdict"].tolist()
        assert found == ([expected] if expected else [])

    def test_a_row_that_is_gone_is_worse(self):
        other = cells("ok", method="softmax")
        found = compare_cells(cells("ok"), other)
        assert found["method"].tolist() == ["gll"]
        assert found["why"].tolist() == ["missing: RESULTS has no such row"]
        assert compare_cells(cells("failed"), other)["verdict"].tolist() != ["worse"]

    def test_reasons_are_short_and_others_counted(self):
        found = compare_cells(cells("ok", "ok", "ok"), cells(*["failed"] * 3, reason="x" * 500))
        assert found["why"].tolist() == [f"repetition 0 failed ({'x' * 100}), and 2 more"]


class TestTexts:
    def test_shares_are_in_per_cent_and_points(self):
        attack = {"attack": "pgd", "norm": "l2", "parameter": "epsilon", "level": 0.1}
        found = texts("robust_accuracy", 0.958, 0.918, -0.04, ci_low=-0.05, ci_high=0.01, **attack)
        assert found["metric"] == "robust_accuracy, pgd l2, ε = 0.1"
        assert (found["baseline"], found["new"]) == ("95.80 %", "91.80 %")
        assert (found["change"], found["95 % interval"]) == ("−4.00 pt", "−5.00 to +1.00")

    def test_times_are_factors(self):
        found = texts("stage_ratio: solve", 2, 5, 2.5)
        assert (found["baseline"], found["new"], found["change"]) == ("2", "5", "× 2.5")
        assert found["95 % interval"] == "–"

    def test_other_numbers_are_as_they_are(self):
        found = texts("gradient_error", 1e-9, 1, 1)
        assert (found["baseline"], found["new"], found["change"]) == ("1e-09", "1", "+1")

    def test_what_is_unknown_is_a_dash(self):
        found = readable_lines(data_lines({"digits": "why"})).iloc[0]
        assert {found[name] for name in ("baseline", "new", "change", "repetitions")} == {"–"}
        assert texts("accuracy", 0.9, math.nan, math.nan)["new"] == "–"

    def test_worst_comes_first(self):
        verdicts = ["same", "better", "not enough samples", "changed", "worse"]
        table = as_table([{**ROW, "metric": "x", "repetitions": 1, "verdict": v} for v in verdicts])
        assert worst_first(table)["verdict"].tolist() == verdicts[::-1]

    def test_lines_of_a_verdict_stand_together_by_row(self):
        methods = ["a", "b", "a", "b"]
        rows = [
            {**ROW, "method": m, "metric": "x", "repetitions": n} for n, m in enumerate(methods)
        ]
        table = as_table(rows).assign(verdict="same")
        assert worst_first(table)["repetitions"].tolist() == [0, 2, 1, 3]

    def test_a_conclusion_counts_what_decides(self):
        def lines(*verdicts: str, decides: bool = True) -> pd.DataFrame:
            rows = [{**ROW, "metric": "accuracy", "repetitions": 5, "verdict": v} for v in verdicts]
            return as_table(rows).assign(decides=decides)

        assert conclusion(lines("same", "same", "better")) == "no regression: 1 better, 2 same"
        failing = lines("same", "worse")
        expected = "regression: 1 worse of 2 lines: gll on digits with mlp (accuracy)"
        assert conclusion(failing) == expected
        left_out = pd.concat([lines("same"), lines("worse", decides=False)])
        assert conclusion(left_out) == "no regression: 1 same; 1 worse that --fail-on leaves out"
        changed = pd.concat([failing, data_lines({"digits": "why"}).assign(decides=True)])
        assert "1 worse, 1 changed of 3 lines" in conclusion(changed)
        assert f"task digits ({DATA})" in conclusion(changed)
        assert describe_same(failing) == "Same: 1 accuracy."
        assert describe_same(failing.iloc[1:]) == ""

    def test_texts_do_not_steer_a_terminal(self):
        assert one_line("a\x1b[31m\nb\u202e") == "a�[31m b�"
