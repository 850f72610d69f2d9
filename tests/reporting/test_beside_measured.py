"""Published numbers beside measured ones, as numbers and as texts."""

import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from make_suites import attacked, run

from lapbench.reporting.correspondence import published_rows
from lapbench.reporting.published import PublishedNumber
from lapbench.reports.leaderboard import leaderboard, readable, to_markdown
from lapbench.reports.published import COLUMNS, beside_measured, readable_published
from lapbench.results.collect import load_records

NAMES = {"task": "mnist", "backbone": "small_cnn", "method": "a | b", "training": "natural"}
CLEAN = {"attack": "", "norm": "", "parameter": "", "level": 0.0, "metric": "accuracy"}
PGD_20 = {
    "attack": "pgd",
    "norm": "linf",
    "parameter": "epsilon",
    "level": 0.3,
    "metric": "robust_accuracy",
}


def published(*of: dict[str, Any], value: float = 0.9) -> pd.DataFrame:
    """Published numbers of one row of the leaderboard."""
    about = {"published": value, "source": "Paper, table 1", "remarks": "other budget"}
    return pd.DataFrame([{**NAMES, **each, **about} for each in of], columns=COLUMNS)


def measured(of: dict[str, Any], values: list[float], steps: int = 0) -> list[dict[str, Any]]:
    """Tidy records of one number, a repetition each."""
    about = {**NAMES, **of, "gradient": "exact", "status": "ok", "split": "test", "count": 10}
    return [
        {**about, "repetition": i, "key": str(i), "value": value, "steps": steps}
        for i, value in enumerate(values)
    ]


class TestBesideMeasured:
    def test_has_mean_interval_and_difference(self):
        """t(0.975, 1) = 12.706; the standard error of 0.90 and 0.94 is 0.02."""
        records = pd.DataFrame(measured(CLEAN, [0.90, 0.94]))
        (row,) = beside_measured(published(CLEAN), records).to_dict("records")
        assert row["measured"] == pytest.approx(0.92)
        assert row["difference"] == pytest.approx(0.02)
        assert row["repetitions"] == 2
        assert row["ci_high"] - 0.92 == pytest.approx(12.7062 * 0.02, rel=1e-4)
        assert 0.92 - row["ci_low"] == pytest.approx(12.7062 * 0.02, rel=1e-4)

    def test_takes_an_attack_after_its_last_step(self):
        rows = [*measured(PGD_20, [0.8], steps=5), *measured(PGD_20, [0.6], steps=20)]
        (row,) = beside_measured(published(PGD_20), pd.DataFrame(rows)).to_dict("records")
        assert (row["measured"], row["repetitions"]) == (0.6, 1)
        assert math.isnan(row["ci_low"])

    def test_keeps_what_was_not_measured(self):
        records = pd.DataFrame(measured(CLEAN, [0.9]))
        compared = beside_measured(published(CLEAN, PGD_20), records)
        assert compared["repetitions"].tolist() == [1, 0]
        assert math.isnan(compared["difference"][1])
        assert readable_published(compared)["difference [points]"].tolist() == ["+0.00", "–"]

    def test_leaves_out_what_is_not_finite(self):
        records = pd.DataFrame(measured(CLEAN, [0.9, math.nan, math.inf]))
        (row,) = beside_measured(published(CLEAN), records).to_dict("records")
        assert (row["measured"], row["repetitions"]) == (0.9, 1)

    def test_reads_as_texts(self):
        records = pd.DataFrame([*measured(CLEAN, [0.90, 0.94]), *measured(PGD_20, [0.6], 20)])
        table = readable_published(beside_measured(published(CLEAN, PGD_20), records))
        assert table["number"].tolist() == ["accuracy", "robust accuracy, pgd, ε = 0.3"]
        assert table["published [%]"].tolist() == ["90.0", "90.0"]
        assert table["measured [%]"].tolist() == ["92.00 ± 25.41", "60.00"]
        assert table["difference [points]"].tolist() == ["+2.00", "-30.00"]
        assert set(table["remarks"]) == {"other budget"}

    def test_nothing_published_is_an_empty_table(self):
        compared = beside_measured(
            pd.DataFrame(columns=COLUMNS), pd.DataFrame(measured(CLEAN, [1]))
        )
        assert compared.empty
        assert readable_published(compared).empty


class TestLeaderboard:
    BOARD = leaderboard(pd.DataFrame(measured(CLEAN, [0.90, 0.94])))

    def test_has_a_column_only_where_something_corresponds(self):
        for nothing in (None, pd.DataFrame(columns=COLUMNS), published(PGD_20)):
            assert "published [%]" not in readable(self.BOARD, nothing).columns
        table = readable(self.BOARD, published(CLEAN, PGD_20, value=0.9774))
        assert table["published [%]"].tolist() == ["97.74"]

    def test_shows_what_several_tables_have(self):
        several = pd.concat([published(CLEAN, value=value) for value in (0.9, 0.9, 0.91)])
        assert readable(self.BOARD, several)["published [%]"].tolist() == ["90.0, 91.0"]

    def test_markdown_has_it_too(self):
        assert re.search(r"\| 97\.74 +\|", to_markdown(self.BOARD, published(CLEAN, value=0.9774)))


def test_numbers_of_a_run_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    moons = {"source": "Paper", "dataset": {"two_moons": {"samples": 160}}, "value": 0.5}
    small = {"backbone": {"mlp": {"width": 8}}, "method": {"softmax": {}}}
    result = [
        PublishedNumber(**moons, **small),
        PublishedNumber(**moons, **small, attack={"fgsm": {"epsilons": [0.3]}}),
        PublishedNumber(**moons, **small, attack={"transfer": {"epsilons": [0.1], "steps": [3]}}),
    ]
    monkeypatch.setattr("lapbench.reporting.correspondence.entries", lambda: result)
    prepared = run(attacked(tmp_path, ["softmax", "svm"]), tmp_path / "r")
    records = load_records(tmp_path / "r")
    compared = beside_measured(published_rows(prepared.plan), records)
    assert compared["method"].tolist() == ["softmax"] * 3
    own = records[(records["method"] == "softmax") & (records["level"] != 0.1)]
    value = own.drop_duplicates(["attack", "metric"]).set_index(["attack", "metric"])["value"]
    assert compared["measured"][0] == value["", "accuracy"]
    assert compared["measured"][1] == value["fgsm", "robust_accuracy"]
    assert compared["level"].tolist() == [0.0, 0.3, 0.1]
