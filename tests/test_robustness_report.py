"""What attacks left of every method: tables, and what they support in words."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from attacked_suites import ATTACKED, attacked, run
from click.testing import CliRunner

from lapbench import discovery
from lapbench.cli import main
from lapbench.frame import COLUMNS, FLAG_COLUMNS, load_records
from lapbench.report import write_report
from lapbench.reports.checks import CHECKS, NEEDED
from lapbench.reports.leaderboard import leaderboard
from lapbench.reports.robustness import each_attack, headline, robustness
from lapbench.reports.verdicts import verdicts

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
Number = tuple[str, str, str, float, int, str]
CLEAN: Number = ("none", "", "", 0.0, 0, "robust_accuracy")
ZERO: Number = ("none", "", "", 0.0, 0, "zero_own_gradient")
WORST_HALF: Number = ("worst case", "linf", "epsilon", 0.05, 0, "robust_accuracy")
WORST: Number = ("worst case", "linf", "epsilon", 0.1, 0, "robust_accuracy")
JOINT: Number = ("worst case", "linf", "epsilon", 0.1, 0, "joint_accuracy")
SINGLE: Number = ("worst case", "linf", "epsilon", 0.1, 0, "single_accuracy")
FGSM: Number = ("fgsm", "linf", "epsilon", 0.1, 1, "robust_accuracy")
DISTANCE: Number = ("fgsm", "linf", "epsilon", 0.1, 1, "distance")
PGD_5: Number = ("pgd", "linf", "epsilon", 0.1, 5, "robust_accuracy")
PGD_10: Number = ("pgd", "linf", "epsilon", 0.1, 10, "robust_accuracy")
DEEPFOOL: Number = ("deepfool", "", "", 0.0, 30, "robust_accuracy")
NOISE: Number = ("gaussian-noise", "", "snr", 20.0, 0, "robust_accuracy")

SOFTMAX: dict[Number, list[float]] = {
    CLEAN: [0.9],
    ZERO: [0.0],
    WORST_HALF: [0.6],
    WORST: [0.3],
    JOINT: [0.31],
    SINGLE: [0.32],
    FGSM: [0.5],
    DISTANCE: [0.7],
    PGD_5: [0.4],
    PGD_10: [0.35],
    DEEPFOOL: [0.02],
    ("pgd", "linf", "epsilon", 0.1, 0, "headline_accuracy"): [0.35],
    ("cw-strong", "linf", "epsilon", 0.1, 0, "headline_accuracy"): [0.33],
}


NO_FLAGS = pd.DataFrame(columns=FLAG_COLUMNS)


def frame(**methods: dict[Number, list[float]]) -> pd.DataFrame:
    """A tidy frame: by method, each number in every repetition, and the plain accuracy."""
    rows: list[dict[str, Any]] = []
    for method, numbers in methods.items():
        plain = ("", "", "", 0.0, 0, "accuracy")
        for (*level, metric), values in {plain: [0.93], **numbers}.items():
            for repetition, value in enumerate(values):
                rows.append(
                    {
                        "task": "digits",
                        "backbone": "mlp",
                        "method": method,
                        "training": "natural",
                        "gradient": "exact",
                        "repetition": repetition,
                        "key": f"{method}{repetition}",
                        "status": "ok",
                        "metric": metric,
                        "split": "test",
                        "value": value,
                        "count": 128 if level[0] else 450,
                        **dict(
                            zip(
                                ["attack", "norm", "parameter", "level", "steps"],
                                level,
                                strict=True,
                            )
                        ),
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def flag(name: str, verdict: str, evidence: str = "", repetition: int = 0, **names: str) -> Any:
    return {
        **{"task": "digits", "backbone": "mlp", "method": "softmax", "training": "natural"},
        **names,
        **{"repetition": repetition, "name": name, "verdict": verdict, "evidence": evidence},
    }


def text(*flags: Any, method: str = "softmax", **changes: dict[Number, list[float]]) -> str:
    """What is said of a method, the flags being those of all."""
    board = robustness(frame(**(changes or {"softmax": SOFTMAX})))
    (found,) = (
        line
        for line in verdicts(board, pd.DataFrame(flags, columns=FLAG_COLUMNS))
        if line.startswith(f"{method} on digits with mlp, natural training: ")
    )
    return found.partition("training: ")[2]


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
        found = headline(board, flags)["failed checks"].item()
        assert found == "white_box_wins 2/3, gradients_exist 1/3"
        flags["verdict"] = "pass"
        assert headline(board, flags)["failed checks"].item() == "none of 2"

    def test_interval_stands_beside_the_mean(self):
        values = [0.90, 0.91, 0.92, 0.93, 0.94]
        table = headline(robustness(frame(softmax={**SOFTMAX, WORST: values})), NO_FLAGS)
        assert table["worst case [%]"].tolist() == ["92.0 ± 2.0"]

    def test_best_worst_case_comes_first_within_task_and_training(self):
        better, best = {**SOFTMAX, WORST: [0.5]}, {**SOFTMAX, WORST: [0.7]}
        records = frame(softmax=SOFTMAX, wnll=best, gll=better)
        table = headline(robustness(records), NO_FLAGS)
        assert table["method"].tolist() == ["wnll", "gll", "softmax"]
        adversarial = records.assign(training="pgd")
        table = headline(robustness(pd.concat([records, adversarial])), NO_FLAGS)
        assert table["method"].tolist() == ["wnll", "gll", "softmax"] * 2
        assert table["training"].tolist() == ["natural"] * 3 + ["pgd"] * 3

    def test_order_is_that_of_the_worst_case_not_of_an_attack(self):
        lucky = {**SOFTMAX, WORST: [0.1], PGD_10: [0.9]}
        table = headline(robustness(frame(lucky=lucky, softmax=SOFTMAX)), NO_FLAGS)
        assert table["method"].tolist() == ["softmax", "lucky"]

    def test_method_without_a_worst_case_is_not_in_the_table(self):
        only = {CLEAN: [0.9], NOISE: [0.8]}
        table = headline(robustness(frame(softmax=SOFTMAX, gll=only)), NO_FLAGS)
        assert table["method"].tolist() == ["softmax"]
        assert headline(robustness(frame(gll=only)), NO_FLAGS).empty
        assert headline(robustness(frame(gll={})), NO_FLAGS).empty

    def test_strongest_attack_counts_what_was_moved_into_the_ball_of_the_headline(self):
        table = headline(robustness(frame(softmax=SOFTMAX)), NO_FLAGS)
        assert table["strongest attack"].tolist() == ["cw-strong (33.0)"]
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


WHITE = "ε = 0.1: 40.0% by gradients, 30.0% by transfer"


class TestVerdicts:
    def test_numbers_come_first(self):
        assert text().startswith(
            "right on 90.0 % of 128 samples, on 30.0 % in the worst case over all attacks at "
            "ε = 0.1."
        )

    def test_without_a_worst_case_nothing_is_said_of_it(self):
        assert text(softmax={CLEAN: [0.9], NOISE: [0.8]}) == "no worst case was measured."

    def test_passed_checks_make_it_a_fair_estimate(self):
        found = text(flag("white_box_wins", "pass"), flag("gradients_exist", "does not apply"))
        assert "No check found its gradient hidden" in found
        assert "fair estimate" in found
        assert "an upper bound for all" in found
        assert "Not measured" not in found

    @pytest.mark.parametrize("name", NEEDED)
    def test_without_a_needed_check_it_is_only_an_upper_bound(self, name: str):
        made = [flag(other, "pass") for other in NEEDED if other != name]
        found = text(*made, flag(name, "not measured"), flag("gradients_exist", "pass"))
        assert "The worst case is an upper bound: too few checks" in found
        assert "fair estimate" not in found

    def test_failure_in_single_repetitions_is_listed_and_not_judged(self):
        values = {number: 3 * list(value) for number, value in SOFTMAX.items()}
        rows = [flag("white_box_wins", v, "e", r) for r, v in enumerate(["fail", "pass", "pass"])]
        found = text(*rows, softmax=values)
        assert "Single repetitions failed a check" in found
        assert "(1 of 3 repetitions; first: e)" in found
        assert "hides" not in found
        assert "fair estimate" not in found

    @pytest.mark.parametrize("verdict", ["not measured", "does not apply"])
    def test_without_a_check_that_was_made_nothing_is_claimed(self, verdict: str):
        for found in (text(), text(flag("white_box_wins", verdict))):
            assert "hidden" not in found
            assert "estimate" not in found

    @pytest.mark.parametrize("name", [n for n, c in CHECKS.items() if c.doubts == "gradient"])
    def test_failed_check_of_the_gradient_takes_back_what_attacks_by_it_say(self, name: str):
        found = text(flag("monotone_in_steps", "pass"), flag(name, "fail", f"{WHITE}; more"))
        assert "Its gradient hides something" in found
        assert "no evidence of robustness" in found
        assert "the worst case is no more than an upper bound" in found
        said = CHECKS[name].fails
        assert f"{said[0].upper()}{said[1:]} (1 of 1 repetitions; first: {WHITE})." in found
        assert "; more" not in found
        assert "fair estimate" not in found

    @pytest.mark.parametrize("name", [n for n, c in CHECKS.items() if c.doubts == "budget"])
    def test_failed_check_of_the_budget_says_that_plain_pgd_overstates(self, name: str):
        found = text(flag("white_box_wins", "pass"), flag(name, "fail", WHITE))
        assert "Its gradient was not found hidden, but attacks with more to spend" in found
        assert "the accuracy under plain PGD overstates it" in found
        assert f"first: {WHITE}" in found
        assert "fair estimate" not in found

    def test_hidden_gradient_outweighs_the_budget_and_both_are_listed(self):
        found = text(flag("steps_add_nothing", "fail", "a"), flag("gradients_exist", "fail", "b"))
        assert "Its gradient hides something" in found
        assert "No check found" not in found
        assert (
            "PGD of more steps, or APGD, broke more than PGD (1 of 1 repetitions; first: a). "
            in found
        )
        assert "More than 1 % of the samples had an exactly zero gradient (1 of 1" in found

    def test_failures_are_counted_over_the_repetitions(self):
        values = {number: 3 * list(value) for number, value in SOFTMAX.items()}
        flags = [
            flag("white_box_wins", verdict, f"evidence {repetition}", repetition)
            for repetition, verdict in enumerate(["pass", "fail", "fail"])
        ]
        found = text(*flags, softmax=values)
        assert "(2 of 3 repetitions; first: evidence 1)" in found
        assert found.startswith("right on 90.0 ± 0.0 % of 128 samples")

    def test_what_was_not_measured_is_named_once(self):
        flags = [
            flag(name, "not measured", repetition=repetition)
            for repetition in range(2)
            for name in ("white_box_wins", "unbounded_breaks")
        ]
        found = text(*flags, flag("gradients_exist", "pass"))
        assert found.endswith(
            f"Not measured: {CHECKS['white_box_wins'].asks}; {CHECKS['unbounded_breaks'].asks}."
        )

    def test_flags_of_another_row_are_not_its_own(self):
        others = [
            flag("white_box_wins", "fail", method="gll"),
            flag("white_box_wins", "fail", training="pgd"),
            flag("white_box_wins", "fail", task="mnist"),
            flag("white_box_wins", "fail", backbone="gnn"),
        ]
        assert text(*others) == text()
        found = text(*others, method="gll", softmax=SOFTMAX, gll=SOFTMAX)
        assert "Its gradient hides something" in found

    @pytest.mark.parametrize(
        ("joint", "single", "said"),
        [(0.31, 0.315, False), (0.30, 0.33, True), (0.40, 0.35, True), (0.40, 0.40, True)],
    )
    def test_batch_is_mentioned_where_it_matters(self, joint: float, single: float, said: bool):
        found = text(softmax={**SOFTMAX, JOINT: [joint], SINGLE: [single]})
        assert ("depend on the batch" in found) == said
        if said:
            assert f"put together {100 * joint:.1f} % stay right" in found
            assert f"{100 * single:.1f} % where each of these" in found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both methods, one attack of which does not apply to either."""
    folder = tmp_path_factory.mktemp("report")
    other = '[[robustness.attacks]]\nname = "pgd"\nlabel = "exact"\nepsilons = [0.3]\n'
    table = f'{ATTACKED}{other}steps = [2, 4]\ngradient = "exact"\n'
    run(attacked(folder, table=table), folder / "results")
    return folder / "results"


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    names = discovery.names
    monkeypatch.setattr(discovery, "names", lambda kind: [] if kind == "figures" else names(kind))


@pytest.mark.usefixtures("_no_figures")
class TestReport:
    def test_table_is_written_beside_the_leaderboard(self, results: Path):
        report = write_report(results)
        assert [path.name for path in report.files] == [
            "leaderboard.md",
            "leaderboard.csv",
            "robustness.csv",
        ]
        written = pd.read_csv(report.files[2], keep_default_na=False, na_values=["nan"])
        assert list(written.columns) == TIDY
        assert len(written) == len(report.robustness)
        assert {"gll", "softmax"} == set(written["method"])

    def test_table_holds_the_numbers_of_the_records(self, results: Path):
        """One repetition: each mean is the number itself."""
        records = load_records(results)
        records = records[records["attack"] != ""]
        board = write_report(results).robustness
        columns = ["method", "attack", "parameter", "level", "steps", "metric"]
        found = board.set_index(columns)["mean"].sort_index()
        expected = records.set_index(columns)["value"].astype(float).sort_index()
        pd.testing.assert_series_equal(found, expected, check_names=False)

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
        missing = write_report(results).unfinished
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
        markdown = report.files[0].read_text()
        table = report.headline
        for said in (printed.output, markdown):
            assert all(line in said for line in report.verdicts)
            assert all(column in said for column in table.columns)
        for row in table.itertuples(index=False):
            for said in (printed.output, markdown):
                assert any(all(value in line for value in row) for line in said.splitlines())
        assert len(report.verdicts) == 2
