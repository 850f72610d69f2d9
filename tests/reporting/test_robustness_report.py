"""What attacks left of every method: tables, and what they support in words."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from make_frames import CLEAN, NO_FLAGS, NOISE, PGD_10, SOFTMAX, WORST, Number, frame
from make_suites import ATTACKED, attacked, run

from lapbench.cli.main import main
from lapbench.reporting.report import write_report
from lapbench.reports.leaderboard import leaderboard
from lapbench.reports.robustness import each_attack, headline, robustness
from lapbench.results.collect import load_records
from lapbench.results.tidy import FLAG_COLUMNS

TIDY = [
    "task",
    "backbone",
    "method",
    "training",
    "attack",
    "norm",
    "parameter",
    "level",
    "steps",
    "metric",
    "mean",
    "ci_low",
    "ci_high",
    "repetitions",
    "count",
]


class TestTidy:
    def test_columns_and_rows(self):
        board = robustness(frame(softmax=SOFTMAX))
        assert list(board.columns) == TIDY
        assert len(board) == len(SOFTMAX)
        row = board.set_index(["attack", "steps", "metric"]).loc[("pgd", 10, "robust_accuracy")]
        assert (row["mean"], row["repetitions"], row["count"]) == (0.35, 1, 128)
        assert pd.isna(row["ci_low"])
        assert pd.isna(row["ci_high"])

    def test_interval_over_the_repetitions_by_hand(self):
        """Mean 0.92; half the interval 2.776445·√(0.00025/5) = 0.019632."""
        values = [0.90, 0.91, 0.92, 0.93, 0.94]
        (row,) = robustness(frame(softmax={WORST: values})).itertuples()
        assert row.mean == pytest.approx(0.92)
        assert row.ci_high - row.mean == pytest.approx(0.019632, abs=1e-6)
        assert row.mean - row.ci_low == pytest.approx(0.019632, abs=1e-6)
        assert row.repetitions == 5

    def test_unknown_numbers_do_not_count_in_the_mean(self):
        (row,) = robustness(frame(softmax={WORST: [0.5, float("nan"), 0.7]})).itertuples()
        assert row.mean == pytest.approx(0.6)

    def test_numbers_without_an_attack_are_left_out(self):
        assert "accuracy" not in set(robustness(frame(softmax=SOFTMAX))["metric"])
        empty = robustness(frame(softmax={}))
        assert empty.empty
        assert list(empty.columns) == TIDY

    def test_leaderboard_is_the_same_with_attacks_and_without(self):
        plain, attacked = (leaderboard(frame(softmax=numbers)) for numbers in ({}, SOFTMAX))
        pd.testing.assert_frame_equal(plain, attacked)
        assert set(plain["metric"]) == {"accuracy"}


class TestHeadline:
    def test_row_by_hand(self):
        (row,) = headline(robustness(frame(softmax=SOFTMAX)), NO_FLAGS).to_dict("records")
        assert row == {
            "task": "digits",
            "backbone": "mlp",
            "method": "softmax",
            "training": "natural",
            "ε": "0.1",
            "unattacked [%]": "90.0",
            "worst case [%]": "30.0",
            "jointly": "31.0",
            "one at a time": "32.0",
            "strongest attack": "cw-strong (33.0)",
            "failed checks": "–",
        }

    def test_failed_checks_are_counted_over_repetitions(self):
        verdicts = [("fail", "pass"), ("fail", "fail"), ("pass", "pass")]
        rows = [
            ("digits", "mlp", "softmax", "natural", repetition, name, verdict, "")
            for repetition, pair in enumerate(verdicts)
            for name, verdict in zip(("white_box_wins", "gradients_exist"), pair, strict=True)
        ]
        flags = pd.DataFrame(rows, columns=FLAG_COLUMNS)
        board = robustness(frame(softmax=SOFTMAX))
        result = headline(board, flags)["failed checks"].item()
        assert result == "white_box_wins 2/3, gradients_exist 1/3"
        flags["verdict"] = "pass"
        assert headline(board, flags)["failed checks"].item() == "none of 2"

    def test_interval_stands_beside_the_mean(self):
        values = [0.90, 0.91, 0.92, 0.93, 0.94]
        table = headline(robustness(frame(softmax={**SOFTMAX, WORST: values})), NO_FLAGS)
        assert table["worst case [%]"].tolist() == ["92.0 ± 2.0"]

    def test_best_worst_case_comes_first_within_task_and_training(self):
        better = {**SOFTMAX, WORST: [0.5], PGD_10: [0.9]}
        best = {**SOFTMAX, WORST: [0.7]}
        records = frame(softmax=SOFTMAX, wnll=best, gll=better)
        table = headline(robustness(records), NO_FLAGS)
        assert table["method"].tolist() == ["wnll", "gll", "softmax"]
        adversarial = records.assign(training="pgd")
        table = headline(robustness(pd.concat([records, adversarial])), NO_FLAGS)
        assert table["method"].tolist() == ["wnll", "gll", "softmax"] * 2
        assert table["training"].tolist() == ["natural"] * 3 + ["pgd"] * 3

    def test_method_without_a_worst_case_is_not_in_the_table(self):
        only = {CLEAN: [0.9], NOISE: [0.8]}
        table = headline(robustness(frame(softmax=SOFTMAX, gll=only)), NO_FLAGS)
        assert table["method"].tolist() == ["softmax"]
        assert headline(robustness(frame(gll=only)), NO_FLAGS).empty
        assert headline(robustness(frame(gll={})), NO_FLAGS).empty

    def test_without_an_attack_in_the_ball_of_the_headline_none_is_the_strongest(self):
        without = {n: values for n, values in SOFTMAX.items() if n[5] != "headline_accuracy"}
        table = headline(robustness(frame(softmax=without)), NO_FLAGS)
        assert table["strongest attack"].tolist() == ["–"]


class TestEachAttack:
    def test_rows_are_levels_after_the_last_step_and_columns_methods(self):
        gll = {CLEAN: [0.8], PGD_10: [0.7], NOISE: [0.75]}
        table = each_attack(robustness(frame(softmax=SOFTMAX, gll=gll)))
        rows = table.set_index("attack [% right]")[["softmax", "gll"]].T.to_dict("list")
        assert rows == {
            "none": ["90.0", "80.0"],
            "worst case, ε = 0.05": ["60.0", "–"],
            "worst case, ε = 0.1": ["30.0", "–"],
            "fgsm, ε = 0.1": ["50.0", "–"],
            "pgd, ε = 0.1": ["35.0", "70.0"],
            "deepfool": ["2.0", "–"],
            "gaussian-noise, SNR = 20": ["–", "75.0"],
        }

    def test_norm_is_named_where_it_is_l2(self):
        other: Number = ("pgd, far", "l2", "epsilon", 1.5, 10, "robust_accuracy")
        table = each_attack(robustness(frame(softmax={other: [0.1]})))
        assert table["attack [% right]"].tolist() == ["pgd, far l2, ε = 1.5"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both methods, one attack of which does not apply to either."""
    folder = tmp_path_factory.mktemp("report")
    other = '[[robustness.attacks]]\nname = "pgd"\nlabel = "exact"\nepsilons = [0.3]\n'
    table = f'{ATTACKED}{other}steps = [2, 4]\ngradient = "exact"\n'
    run(attacked(folder, table=table), folder / "results")
    return folder / "results"


class TestReport:
    def test_table_is_written_beside_the_leaderboard_with_the_numbers_of_the_records(
        self, results: Path
    ):
        """One repetition: each mean is the number itself."""
        report = write_report(results)
        names = "index.html leaderboard.md leaderboard.tex leaderboard.csv comparisons.csv "
        names += "robustness.tex robustness.csv"
        assert [path.name for path in report.files] == names.split()
        written = pd.read_csv(report.files[-1], keep_default_na=False, na_values=["nan"])
        assert list(written.columns) == TIDY
        records = load_records(results)
        columns = ["method", "attack", "parameter", "level", "steps", "metric"]
        expected = records[records["attack"] != ""].set_index(columns)["value"].astype(float)
        for board in (written, report.robustness):
            result = board.set_index(columns)["mean"].sort_index()
            pd.testing.assert_series_equal(result, expected.sort_index(), check_names=False)

    def test_budgets_and_samples_are_conditions(self, results: Path):
        lines = "\n".join(write_report(results).conditions)
        assert "Attacked: at most 20 samples" in lines
        assert "linf ball" in lines
        assert "Budgets of the attacks: fgsm (epsilons 0.1, 0.3, norm linf, units input, " in lines
        assert (
            "; exact = pgd (epsilons 0.3, norm linf, units input, gradient exact, steps 2, 4, "
            in lines
        )
        assert "source softmax)" in lines

    def test_skipped_attacks_are_listed_with_their_reason(self, results: Path):
        missing = write_report(results).inapplicable
        start = [line.partition("; lapbench show")[0] for line in missing]
        assert start == [
            "attack exact on gll, 1 cell(s): skipped (its own gradient is no surrogate (exact))",
            "attack transfer on softmax, 1 cell(s): skipped (other cells take their transfer "
            "attacks from it)",
            "attack exact on softmax, 1 cell(s): skipped (its own gradient is no surrogate "
            "(autograd))",
        ]

    def test_terminal_and_markdown_say_the_same(self, results: Path):
        printed = CliRunner().invoke(main, ["report", str(results)])
        assert printed.exit_code == 0
        report = write_report(results)
        markdown = (results / "leaderboard.md").read_text()
        table = report.headline
        for said in (printed.output, markdown):
            assert all(line in said for line in report.verdicts)
            assert all(column in said for column in table.columns)
        for row in table.itertuples(index=False):
            for said in (printed.output, markdown):
                assert any(all(value in line for value in row) for line in said.splitlines())
        assert len(report.verdicts) == 2
