"""`lapbench compare`: verdict, cause and exit code of planted changes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from expect_refusal import refused
from make_results import (
    KEPT,
    METHODS,
    attack_failed,
    edit,
    failed,
    faster,
    longer_steps,
    replan,
    run,
    scaled,
    slow_solve,
    timed,
    variants,
    without,
    write_results,
)

import lapbench
from lapbench.results.folder import RecordError
from lapbench.results.records import Record
from lapbench.suite.components import Component
from lapbench.suite.plan import PlannedCell
from lapbench.tracking.gates import GateError


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("compared") / "baseline")


@pytest.fixture
def results(baseline: Path, tmp_path: Path) -> Path:
    return shutil.copytree(baseline, tmp_path / "results")


def failing(baseline: Path, results: Path) -> dict[str, str]:
    """Reasons of the lines that are worse or changed, by metric."""
    lines = lapbench.compare(baseline, results).lines
    bad = lines[lines["verdict"].isin(["worse", "changed"])]
    return dict(zip(bad["metric"], bad["why"], strict=True))


def test_the_records_of_the_readme_are_the_same_as_themselves():
    """They were written before plans knew their data."""
    ran = run(KEPT, KEPT)
    assert ran.exit_code == 0
    assert ran.output.count("commit c3c482f, lapbench 0.1.0, torch 2.13.0+cpu") == 2
    assert ran.output.endswith("no regression: 161 same\n")


@pytest.mark.parametrize(
    ("change", "metric", "why"),
    [
        (longer_steps, "first_step_length", "learning rate"),
        (scaled("first_step_loss", 1.01), "first_step_loss", "order of batches"),
        (slow_solve, "stage_ratio: solve", "stage solve takes 2 times as long"),
        (scaled("solve_iterations", 2), "solve_iterations", "iterations"),
        (scaled("gradient_error", 1e9), "gradient_error", "finite differences"),
        (timed(saved_bytes=1001), "saved_megabytes", "saves more"),
        (failed, "cells", "repetition 0 failed (RuntimeError: no luck), and 4 more"),
        (attack_failed, "cells", "repetition 0 failed (attack fgsm: no), and 4 more"),
        (lambda _: None, "cells", "repetition 0 not run (not run yet), and 4 more"),
    ],
)
def test_a_regression_has_a_line_with_its_cause(
    baseline: Path, results: Path, change: Callable[..., Any], metric: str, why: str
):
    edit(results, change, "gll")
    ran = run(baseline, results)
    assert ran.exit_code == 1
    ((result, reason),) = failing(baseline, results).items()
    assert result == metric
    assert why in reason
    assert why in ran.output
    assert "regression: 1 " in ran.output


class TestCauses:
    def test_another_learning_rate_in_the_suite_is_named(self, baseline: Path, results: Path):
        """It renames the rows of both methods, as their plan has two learning rates now."""
        replan(results, faster)
        edit(results, longer_steps, "gll")
        edit(results, scaled("accuracy", 0.9), "gll")
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert "gll (learning_rate=0.03) on digits" in ran.output
        assert "budget.learning_rate: 0.003 → 0.03." in ran.output
        assert ran.output.count("settings differ") == 1
        assert set(failing(baseline, results)) == {"accuracy", "first_step_length"}

    def test_settings_of_all_rows_are_named_once_and_fail_nothing(
        self, baseline: Path, results: Path
    ):
        replan(results, lambda planned: replace(planned, cell=replace(planned.cell, threads=2)))
        ran = run(baseline, results)
        assert ran.exit_code == 0
        assert "all rows: settings differ: threads: 1 → 2." in ran.output

    def test_other_data_fail_in_place_of_what_is_paired(self, baseline: Path, results: Path):
        replan(results, lambda planned: replace(planned, data="bbbbbbbbbbbbbbbb"))
        edit(results, scaled("accuracy", 0.5), *METHODS)
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert "repetition 0: 0aaaaaaa… → bbbbbbbb…" in ran.output
        assert list(failing(baseline, results)) == ["data"]
        lines = lapbench.compare(baseline, results).lines
        assert set(lines["metric"]) == {
            *("data", "step_ratio", "solve_iterations", "stage_ratio: solve")
        }

    def test_unknown_data_are_not_said_to_differ(self, baseline: Path, results: Path):
        replan(results, lambda planned: replace(planned, data=""))
        assert run(baseline, results).exit_code == 0

    def test_commits_with_changes_and_other_machines_are_named(self, baseline: Path, results: Path):
        def elsewhere(record: Record) -> Record:
            about = replace(record.provenance, commit=f"{'f' * 40}+", processor="Z80")
            return replace(record, provenance=about)

        edit(results, elsewhere, *METHODS)
        output = run(baseline, results).output
        assert "commit fffffff+, " in output
        assert "Z80." in output

    def test_a_record_that_cannot_be_read_is_worse(self, baseline: Path, results: Path):
        path = min(results.glob("records/*.json"))
        path.write_text(path.read_text()[:1000])
        assert run(baseline, results).exit_code == 1
        assert "refused (" in failing(baseline, results)["cells"]
        assert run(results, baseline).exit_code == 0

    def test_lost_rows_are_worse_and_new_ones_a_note(self, baseline: Path, results: Path):
        replan(results, lambda planned: planned if planned.cell.method.name == "gll" else None)
        assert list(failing(baseline, results)) == ["cells"]
        back = run(results, baseline)
        assert back.exit_code == 0
        assert "softmax on digits with small_cnn." in back.output

    def test_lost_numbers_are_changed_and_new_ones_a_note(self, baseline: Path, results: Path):
        edit(results, without("gradient_error"), *METHODS)
        assert list(failing(baseline, results)) == ["gradient_error"]
        back = run(results, baseline)
        assert back.exit_code == 0
        assert "gradient_error." in back.output

    def test_a_renamed_row_is_matched_by_its_settings(self, baseline: Path, results: Path):
        """The plan has a second gll in place of softmax, so that both are named by their τ."""

        def second(planned: PlannedCell) -> PlannedCell:
            if planned.cell.method.name == "gll":
                return planned
            method = replace(planned.cell.method, head=Component("gll", {"tau": 0.25}))
            return replace(planned, cell=replace(planned.cell, method=method))

        replan(results, second)
        lines = lapbench.compare(baseline, results).lines
        assert set(lines.loc[lines["metric"] == "cells", "method"]) == {"softmax"}

    def test_one_row_does_not_match_two_variants(self, baseline: Path, results: Path):
        """Nobody can say which of them the baseline has."""
        replan(results, variants)
        assert list(failing(baseline, results)) == ["cells"]


class TestFailOn:
    @pytest.mark.parametrize(
        ("change", "limits", "status"),
        [
            (longer_steps, ["accuracy:-1pt", "step_ratio:50%"], 0),
            (failed, ["accuracy:1pt"], 1),  # cells always decide
            (slow_solve, ["stage_ratio:50%"], 1),
            (slow_solve, ["stage_ratio:+110%"], 0),
            (slow_solve, ["stage_ratio:1.9x"], 1),
            (scaled("accuracy", 0.98), ["accuracy:-1pt"], 1),
            (scaled("accuracy", 0.98), ["accuracy:-3pt"], 0),
            (scaled("accuracy", 0.98), ["accuracy:-1%"], 1),
            (scaled("accuracy", 0.98), ["accuracy:3%"], 0),
            (scaled("first_step_loss", 1.1), ["first_step_loss:.5%"], 1),
            (scaled("first_step_loss", 1.1), ["first_step_loss:1.2x"], 0),
        ],
    )
    def test_only_these_metrics_decide_with_these_margins(
        self,
        baseline: Path,
        results: Path,
        change: Callable[..., Any],
        limits: list[str],
        status: int,
    ):
        edit(results, change, "gll")
        assert run(baseline, results).exit_code == 1
        options = [part for limit in limits for part in ("--fail-on", limit)]
        ran = run(baseline, results, *options)
        assert ran.exit_code == status
        assert ("1 changed that --fail-on" in ran.output) == (change is longer_steps)

    @pytest.mark.parametrize(
        ("limits", "named"),
        [
            (["acuracy:-1pt"], "accuracy"),
            (["step_seconds:10%"], "accuracy"),
            (["outer_accuracy:-1pt"], "accuracy"),  # the baseline has none
            (["accuracy"], "accuracy"),
            (["accuracy:"], "1pt"),
            (["accuracy:-1"], "1pt"),
            (["accuracy:nanpt"], "1pt"),
            (["accuracy:1.2.3pt"], "1pt"),
            (["accuracy:+1pt"], "1pt"),
            (["accuracy:1.5x"], "1pt"),
            (["step_ratio:-50%"], "1.5x"),
            (["step_ratio:5pt"], "1.5x"),
            (["step_ratio:0.5x"], "1.5x"),
            (["first_step_loss:+5%"], "1.5x"),
            (["accuracy:1pt", "accuracy:2pt"], "accuracy"),
        ],
    )
    def test_mistakes_name_the_limit_and_what_it_must_be(
        self, baseline: Path, limits: list[str], named: str
    ):
        with refused(GateError, "--fail-on", limits[-1], named):
            lapbench.compare(baseline, baseline, limits)


class TestOutput:
    def test_all_prints_what_is_the_same(self, baseline: Path):
        assert "identical" not in run(baseline, baseline).output
        assert run(baseline, baseline, "--all").output.count("identical") == 2 * 6

    def test_markdown_is_appended(self, baseline: Path, results: Path, tmp_path: Path):
        edit(results, longer_steps, "gll")
        summary = tmp_path / "new" / "summary.md"
        for times in (1, 2):
            assert run(baseline, results, "--markdown", summary).exit_code == 1
            text = summary.read_text(encoding="utf-8")
            assert text.count("## ") == text.count("**regression: 1 changed, ") == times
            rows = [line for line in text.splitlines() if line.startswith("| gll on digits")]
            assert len(rows) == times
            assert "| changed " in rows[0]

    def test_hostile_texts_stay_in_their_cell(self, baseline: Path, results: Path, tmp_path: Path):
        edit(results, lambda r: replace(failed(r), reason="a|b\n| c <script> \x1b[31m"), "gll")
        assert "\x1b" not in run(baseline, results, "--markdown", tmp_path / "m.md").output
        (row,) = (r for r in (tmp_path / "m.md").read_text().splitlines() if "| cells" in r)
        assert r"a\|b \| c \<script\> �\[31m" in row

    def test_a_file_that_cannot_be_written_is_no_regression(self, baseline: Path, tmp_path: Path):
        (tmp_path / "file").write_text("")
        assert run(baseline, baseline, "--markdown", tmp_path / "file" / "m.md").exit_code == 2


def test_folders_without_results_are_refused(baseline: Path, results: Path, tmp_path: Path):
    for folders in ((baseline, tmp_path), (tmp_path, baseline), (tmp_path / "no", baseline)):
        assert run(*folders).exit_code == 2
    shutil.rmtree(results / "records")
    with refused(RecordError, str(results), "finished"):
        lapbench.compare(results, baseline)


def test_from_python(baseline: Path, results: Path):
    assert not lapbench.compare(baseline, str(results)).regressed
    before = {path: path.stat().st_mtime_ns for path in baseline.rglob("*")}
    edit(results, scaled("gradient_error", 1e9), "gll")
    comparison = lapbench.compare(baseline, results)
    assert comparison.regressed
    first = comparison.lines.iloc[0]
    assert first[["method", "metric", "verdict"]].tolist() == ["gll", "gradient_error", "worse"]
    assert not lapbench.compare(baseline, results, "accuracy:1pt").regressed
    assert {path: path.stat().st_mtime_ns for path in baseline.rglob("*")} == before
