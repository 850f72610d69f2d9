"""What became of cells, and a comparison of two runs in words."""

import math
from typing import Any

import pandas as pd
import pytest

from lapbench.reports.tracking.cells import CELLS, compare_cells, data_lines
from lapbench.reports.tracking.regression import as_table
from lapbench.reports.tracking.text import conclusion, one_line, readable_lines, worst_first

ROW = {"task": "digits", "backbone": "mlp", "training": "natural", "method": "gll"}
NUMBERS = ["baseline", "new", "change", "95 % interval"]
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
    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ("ok ok", "ok ok", None),
            ("failed", "failed", None),
            ("skipped", "skipped", None),
            ("skipped", "failed", "worse"),
            ("ok", "failed", "worse"),
            ("ok", "diverged", "worse"),
            ("ok", "skipped", "worse"),
            ("ok", "refused", "worse"),
            ("ok", "not_run", "worse"),
            ("ok ok", "ok", "changed"),
            ("ok ok", "not_run failed", "worse"),
            ("failed", "ok", "better"),
            ("refused", "ok", "not enough samples"),
            ("not_run", "ok", "not enough samples"),
            ("not_run", "not_run", None),
        ],
    )
    def test_verdicts(self, old: str, new: str, expected: str | None):
        before, after = (cells(*(s.replace("_", " ") for s in each.split())) for each in (old, new))
        row = compare_cells(before, after)["verdict"].tolist()
        assert row == ([expected] if expected else [])

    def test_a_row_that_is_gone_is_worse(self):
        other = cells("ok", method="softmax")
        row = compare_cells(cells("ok"), other)
        assert row["method"].tolist() == ["gll"]
        assert row["why"].tolist() == ["missing: RESULTS has no such row"]
        assert compare_cells(cells("failed"), other)["verdict"].tolist() != ["worse"]

    def test_repetitions_are_counted_and_the_first_reason_is_shown(self):
        row = compare_cells(cells("ok", "ok", "ok"), cells("ok", "failed", "failed"))
        (line,) = row.to_dict("records")
        assert (line["metric"], line["baseline"], line["new"], line["change"]) == (CELLS, 3, 1, -2)
        assert line["why"] == "repetition 1 failed (reason 1), and 1 more"
        row = compare_cells(cells("ok"), cells("failed", reason="x" * 500))
        assert row["why"].tolist() == [f"repetition 0 failed ({'x' * 100})"]


class TestTexts:
    def test_shares_are_in_per_cent_and_points(self):
        attack = {"attack": "pgd", "norm": "l2", "parameter": "epsilon", "level": 0.1}
        row = texts("robust_accuracy", 0.958, 0.918, -0.04, ci_low=-0.05, ci_high=0.01, **attack)
        assert row["row"] == "gll on digits with mlp"
        assert row["metric"] == "robust_accuracy [%], pgd, ε = 0.1 (ℓ₂)"
        assert [row[name] for name in NUMBERS] == ["95.80", "91.80", "−4.00", "−5.00 to +1.00"]

    def test_times_are_factors_and_other_numbers_as_they_are(self):
        row = texts("stage_ratio: solve", 2, 5, 2.5)
        assert [row[name] for name in NUMBERS] == ["2", "5", "× 2.5", "–"]
        row = texts("gradient_error", 1e-9, 1, 1)
        assert [row[name] for name in NUMBERS] == ["1e−09", "1", "+1", "–"]

    def test_what_is_unknown_is_a_dash(self):
        row = readable_lines(data_lines({"digits": "why"})).iloc[0]
        assert {row[name] for name in ("baseline", "new", "change", "repetitions")} == {"–"}
        assert texts("accuracy", 0.9, math.nan, math.nan)["new"] == "–"

    def test_worst_comes_first_and_then_rows_stand_together(self):
        verdicts = ["same", "better", "not enough samples", "changed", "worse", "same", "same"]
        methods = ["a", "a", "a", "a", "a", "b", "a"]
        about = [{"method": m, "verdict": v} for m, v in zip(methods, verdicts, strict=True)]
        rows = [{**ROW, **each, "metric": "x", "repetitions": n} for n, each in enumerate(about)]
        assert worst_first(as_table(rows))["repetitions"].tolist() == [4, 3, 2, 1, 0, 6, 5]

    def test_a_conclusion_counts_what_decides(self):
        def lines(*verdicts: str, decides: bool = True) -> pd.DataFrame:
            rows = [{**ROW, "metric": "accuracy", "repetitions": 5, "verdict": v} for v in verdicts]
            return as_table(rows).assign(decides=decides)

        assert conclusion(lines("same", "same", "better")) == "no regression: 1 better, 2 same"
        failing = lines("same", "worse")
        assert conclusion(failing) == "regression: 1 worse, 1 same"
        assert conclusion(lines("not enough samples")).startswith("no regression found: ")
        left_out = pd.concat([lines("same"), lines("worse", decides=False)])
        assert conclusion(left_out) == "no regression: 1 same; 1 worse that --fail-on leaves out"
        changed = pd.concat([failing, data_lines({"digits": "why"}).assign(decides=True)])
        assert conclusion(changed) == "regression: 1 worse, 1 changed, 1 same"

    def test_texts_do_not_steer_a_terminal(self):
        assert one_line("a\x1b[31m\nb\u202e") == "a�[31m b�"
