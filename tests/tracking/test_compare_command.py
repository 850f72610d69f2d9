"""`lapbench compare`: what it says of two results folders, and how it ends."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from compared import (
    KEPT,
    METHODS,
    edit,
    failed,
    longer_steps,
    run,
    scaled,
    slow_solve,
    write_results,
)

import lapbench
from lapbench.results.folder import RecordError
from lapbench.results.records import Record
from lapbench.tracking.gates import GateError


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return write_results(tmp_path / "baseline")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


class TestEqualRuns:
    def test_the_records_of_the_readme_are_the_same_as_themselves(self):
        """They were written before plans knew their data."""
        ran = run(KEPT, KEPT)
        assert ran.exit_code == 0
        assert ran.output.count("commit c3c482f4dd, Python 3.11.7, lapbench 0.1.0, torch") == 2
        assert "Same: 21 accuracy, " in ran.output
        assert ran.output.endswith("no regression: 182 same\n")
        assert set(lapbench.compare(KEPT, KEPT).lines["verdict"]) == {"same"}

    def test_absolute_times_are_not_compared_and_the_tool_says_so(
        self, baseline: Path, results: Path
    ):
        def slower(record: Record) -> Record:
            assert record.timing
            own, other = record.timing.step_seconds, record.timing.softmax_step_seconds
            times = {"step_seconds": [9 * each for each in own], "training_seconds": 1e6}
            others = {"softmax_step_seconds": [9 * each for each in other]}
            return replace(record, timing=replace(record.timing, **times, **others))

        edit(results, slower, *METHODS)
        ran = run(baseline, results)
        assert ran.exit_code == 0
        assert "Absolute times mean nothing across machines" in ran.output

    def test_all_prints_what_is_the_same(self, baseline: Path, results: Path):
        assert "identical" not in run(baseline, results).output
        shown = run(baseline, results, "--all").output
        assert shown.count("identical") == 2 * 6
        assert "Same: " not in shown

    def test_folders_are_only_read(self, baseline: Path, results: Path):
        before = {path: path.stat().st_mtime_ns for path in baseline.rglob("*")}
        run(baseline, results)
        assert {path: path.stat().st_mtime_ns for path in baseline.rglob("*")} == before


class TestFailOn:
    def test_only_these_metrics_decide(self, baseline: Path, results: Path):
        edit(results, longer_steps, "gll")
        assert run(baseline, results).exit_code == 1
        ran = run(baseline, results, "--fail-on", "accuracy:-1pt", "--fail-on", "step_ratio:50%")
        assert ran.exit_code == 0
        assert ran.output.endswith("no regression: 4 same; 1 changed that --fail-on leaves out\n")

    @pytest.mark.parametrize(
        ("limit", "status"),
        [("stage_ratio:50%", 1), ("stage_ratio:+110%", 0), ("stage_ratio:1.9x", 1)],
    )
    def test_limits_take_the_place_of_margins(
        self, baseline: Path, results: Path, limit: str, status: int
    ):
        edit(results, slow_solve, "gll")
        assert run(baseline, results, "--fail-on", limit).exit_code == status

    @pytest.mark.parametrize(
        ("limit", "status"),
        [("accuracy:-1pt", 1), ("accuracy:-3pt", 0), ("accuracy:-1%", 1), ("accuracy:3%", 0)],
    )
    def test_shares_fall(self, baseline: Path, results: Path, limit: str, status: int):
        edit(results, scaled("accuracy", 0.98), "gll")
        assert run(baseline, results, "--fail-on", limit).exit_code == status

    def test_cells_and_data_always_decide(self, baseline: Path, results: Path):
        edit(results, failed, "gll")
        assert run(baseline, results, "--fail-on", "accuracy:1pt").exit_code == 1

    @pytest.mark.parametrize(
        ("limit", "said"),
        [
            ("acuracy:-1pt", "the metric is one of accuracy, outer_accuracy, robust_accuracy"),
            ("step_seconds:10%", "the metric is one of"),
            ("accuracy", "the metric is one of"),
            ("accuracy:", "the limit is a number of 0 or more, and one of pt, % and x"),
            ("accuracy:-1", "the limit is a number of 0 or more"),
            ("accuracy:nanpt", "the limit is a number of 0 or more"),
            ("accuracy:+1pt", "what is worse is that it falls"),
            ("accuracy:1.5x", "a share falls; give pt"),
            ("step_ratio:-50%", "what is worse is that it grows"),
            ("step_ratio:5pt", "pt is for shares alone"),
            ("step_ratio:0.5x", "a factor is 1 or more"),
            ("first_step_loss:+5%", "no better or worse"),
        ],
    )
    def test_mistakes_are_explained_with_examples(self, baseline: Path, limit: str, said: str):
        ran = run(baseline, baseline, "--fail-on", limit)
        assert ran.exit_code == 2
        for text in (f"received {limit!r}", said, '"accuracy:-1pt"'):
            assert text in ran.output

    def test_a_metric_has_one_limit(self, baseline: Path):
        limits = ["--fail-on", "accuracy:1pt", "--fail-on", "accuracy:2pt"]
        assert "has a limit already" in run(baseline, baseline, *limits).output

    def test_a_limit_that_checks_nothing_is_a_mistake(self, baseline: Path):
        ran = run(baseline, baseline, "--fail-on", "outer_accuracy:-1pt")
        assert ran.exit_code == 2
        assert "outer_accuracy: the baseline has no such number" in ran.output
        assert "it has accuracy, robust_accuracy, " in ran.output


class TestMarkdown:
    def test_it_is_appended_with_the_same_content(
        self, baseline: Path, results: Path, tmp_path: Path
    ):
        edit(results, longer_steps, "gll")
        summary = tmp_path / "new" / "summary.md"
        for times in (1, 2):
            assert run(baseline, results, "--markdown", summary).exit_code == 1
            text = summary.read_text(encoding="utf-8")
            assert text.count("## Comparison with the baseline") == times
        assert "**regression: 1 changed of 24 lines: gll on digits with small\\_cnn" in text
        rows = [line for line in text.splitlines() if line.startswith("| first")]
        assert len(rows) == 2
        assert "| changed " in rows[0]
        assert "Absolute times mean nothing" in text

    def test_hostile_texts_stay_in_their_cell(self, baseline: Path, results: Path, tmp_path: Path):
        def hostile(record: Record) -> Record:
            return replace(failed(record), reason="a|b\n| c <script> \x1b[31m")

        edit(results, hostile, "gll")
        ran = run(baseline, results, "--markdown", tmp_path / "m.md")
        assert "\x1b" not in ran.output
        (row,) = (r for r in (tmp_path / "m.md").read_text().splitlines() if "| cells" in r)
        assert r"a\|b \| c \<script\> �\[31m" in row


class TestMistakes:
    def test_a_folder_without_a_plan(self, baseline: Path, tmp_path: Path):
        for folders in ((baseline, tmp_path), (tmp_path, baseline), (tmp_path / "no", baseline)):
            ran = run(*folders)
            assert ran.exit_code == 2
            assert "is no results folder" in ran.output

    def test_a_baseline_without_a_result(self, baseline: Path, results: Path):
        shutil.rmtree(baseline / "records")
        ran = run(baseline, results)
        assert ran.exit_code == 2
        assert "no cell is finished, so there is nothing to compare with" in ran.output

    def test_a_file_that_cannot_be_written_is_no_regression(self, baseline: Path, tmp_path: Path):
        (tmp_path / "file").write_text("")
        ran = run(baseline, baseline, "--markdown", tmp_path / "file" / "m.md")
        assert ran.exit_code == 2
        assert "Error: " in ran.output


def test_from_python(baseline: Path, results: Path):
    assert not lapbench.compare(baseline, str(results)).regressed
    edit(results, scaled("gradient_error", 1e9), "gll")
    found = lapbench.compare(baseline, results)
    assert found.regressed
    assert found.lines.iloc[0][["method", "metric", "verdict"]].tolist() == [
        *("gll", "gradient_error", "worse")
    ]
    assert not lapbench.compare(baseline, results, "accuracy:1pt").regressed
    with pytest.raises(GateError):
        lapbench.compare(baseline, results, ["accuracy"])
    with pytest.raises(RecordError):
        lapbench.compare(baseline, results.parent)


def test_help_says_what_it_does():
    text = " ".join(run("--help").output.split())
    for said in ("Exits with 1 if a line is worse or changed", "--fail-on accuracy:-1pt", "never"):
        assert said in text
