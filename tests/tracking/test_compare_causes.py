"""A comparison names what changed: settings, data, code, cells."""

from dataclasses import replace
from pathlib import Path

import pytest
from compared import (
    METHODS,
    edit,
    failed,
    longer_steps,
    replan,
    run,
    scaled,
    slow_solve,
    write_results,
)

import lapbench
from lapbench.results.records import Record
from lapbench.suite.components import Component
from lapbench.suite.plan import PlannedCell


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return write_results(tmp_path / "baseline")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


def failing(baseline: Path, results: Path) -> dict[str, str]:
    """Why lines are worse or changed, by their metric."""
    lines = lapbench.compare(baseline, results).lines
    bad = lines[lines["verdict"].isin(["worse", "changed"])]
    return dict(zip(bad["metric"], bad["why"], strict=True))


class TestCauses:
    def test_another_learning_rate_in_the_suite(self, baseline: Path, results: Path):
        """It renames the rows of both methods, as their plan has two learning rates now."""

        def faster(planned: PlannedCell) -> PlannedCell:
            budget = replace(planned.cell.budget, learning_rate=0.03)
            own = planned.cell.method.name == "gll"
            return replace(planned, cell=replace(planned.cell, budget=budget)) if own else planned

        replan(results, faster)
        edit(results, longer_steps, "gll")
        edit(results, scaled("accuracy", 0.9), "gll")
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert (
            "gll on digits with small_cnn (in RESULTS gll (learning_rate=0.03) on digits): "
            "settings differ: budget.learning_rate: 0.003 → 0.03."
        ) in ran.output
        assert "softmax on" not in ran.output
        assert set(failing(baseline, results)) == {"accuracy", "first_step_length"}

    def test_another_learning_rate_in_the_code(self, baseline: Path, results: Path):
        edit(results, longer_steps, "gll")
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert list(failing(baseline, results)) == ["first_step_length"]
        assert "the first step of training has another length: learning rate" in ran.output
        assert ran.output.endswith(
            "regression: 1 changed of 24 lines: gll on digits with small_cnn (first_step_length)\n"
        )

    def test_a_slower_solver(self, baseline: Path, results: Path):
        edit(results, slow_solve, "gll")
        ran = run(baseline, results)
        assert ran.exit_code == 1
        (why,) = failing(baseline, results).values()
        expected = "the stage solve takes 2 times as long beside softmax, p = 0.0079; iterations"
        assert why.startswith(expected)
        assert why.endswith("unchanged")

    def test_more_iterations(self, baseline: Path, results: Path):
        edit(results, scaled("solve_iterations", 2), "gll")
        edit(results, slow_solve, "gll")
        found = failing(baseline, results)
        assert found["solve_iterations"] == "the solver needs more iterations"
        assert found["stage_ratio: solve"].endswith("iterations 20 → 40")

    def test_a_wrong_gradient(self, baseline: Path, results: Path):
        edit(results, scaled("gradient_error", 1e9), "gll")
        ran = run(baseline, results)
        assert ran.exit_code == 1
        meaning = "its gradient no longer agrees with finite differences"
        ((metric, why),) = failing(baseline, results).items()
        assert metric == "gradient_error"
        assert why.startswith(meaning)

    def test_another_split(self, baseline: Path, results: Path):
        """Accuracies are not compared then, however much they fell."""
        replan(results, lambda planned: replace(planned, data="bbbbbbbbbbbbbbbb"))
        edit(results, scaled("accuracy", 0.5), *METHODS)
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert "Task digits: its data or their split changed (repetition 0: 0aaaaaaa… → b" in (
            ran.output
        )
        assert list(failing(baseline, results)) == ["data"]
        assert "2 step_ratio" in ran.output
        assert "accuracy," not in ran.output.partition("Same: ")[2]

    def test_where_the_data_are_unknown_they_are_not_said_to_differ(
        self, baseline: Path, results: Path
    ):
        replan(results, lambda planned: replace(planned, data=""))
        assert run(baseline, results).exit_code == 0

    def test_settings_of_all_rows_are_told_once_and_fail_nothing(
        self, baseline: Path, results: Path
    ):
        replan(results, lambda planned: replace(planned, cell=replace(planned.cell, threads=2)))
        ran = run(baseline, results)
        assert ran.exit_code == 0
        assert ran.output.count("settings differ") == 1
        assert "all rows: settings differ: threads: 1 → 2." in ran.output

    def test_commits_with_changes_and_other_machines_are_named(self, baseline: Path, results: Path):
        def elsewhere(record: Record) -> Record:
            about = replace(record.provenance, commit=f"{'f' * 40}+", processor="Z80")
            return replace(record, provenance=about)

        edit(results, elsewhere, *METHODS)
        output = run(baseline, results).output
        assert "RESULTS: suite default in" in output
        assert "commit ffffffffff with uncommitted changes" in output
        assert "Z80." in output


class TestCells:
    def test_a_failure_is_worse_with_its_reason(self, baseline: Path, results: Path):
        edit(results, failed, "gll")
        ran = run(baseline, results)
        assert ran.exit_code == 1
        why = "repetition 0 failed (RuntimeError: no luck), and 4 more"
        assert failing(baseline, results) == {"cells": why}

    def test_a_failed_attack_is_a_failure(self, baseline: Path, results: Path):
        def attack_fails(record: Record) -> Record:
            first, *others = record.attacks
            return replace(record, attacks=[replace(first, status="failed", reason="no"), *others])

        edit(results, attack_fails, "gll")
        assert failing(baseline, results)["cells"].startswith(
            "repetition 0 failed (attack fgsm: no)"
        )

    def test_a_truncated_record_is_refused_and_worse(self, baseline: Path, results: Path):
        path = min(results.glob("records/*.json"))
        path.write_text(path.read_text()[:1000])
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert "refused (" in failing(baseline, results)["cells"]
        assert run(results, baseline).exit_code == 0
        assert "in the baseline repetition" in run(results, baseline).output

    def test_what_did_not_run_is_worse(self, baseline: Path, results: Path):
        """A run that died before it began must not pass."""
        min(results.glob("records/*.json")).unlink()
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert "not run (not run yet)" in ran.output
        for path in results.glob("records/*.json"):
            path.unlink()
        assert run(baseline, results).exit_code == 1

    def test_rows_that_are_gone_are_worse_and_new_ones_a_note(self, baseline: Path, results: Path):
        replan(results, lambda planned: planned if planned.cell.method.name == "gll" else None)
        ran = run(baseline, results)
        assert ran.exit_code == 1
        assert failing(baseline, results) == {"cells": "missing: RESULTS has no such row"}
        back = run(results, baseline)
        assert back.exit_code == 0
        assert "New, without a baseline: softmax on digits with small_cnn." in back.output

    def test_numbers_that_are_new_are_a_note(self, baseline: Path, results: Path):
        def without(record: Record) -> Record:
            kept = [each for each in record.metrics if each.metric != "gradient_error"]
            return replace(record, metrics=kept)

        edit(baseline, without, *METHODS)
        ran = run(baseline, results)
        assert ran.exit_code == 0
        assert "New numbers, without a baseline: gradient_error." in ran.output
        assert failing(results, baseline) == {"gradient_error": "it is not measured any more"}

    def test_a_renamed_row_is_not_taken_for_another(self, baseline: Path, results: Path):
        """Two variants that the baseline has one of: nobody can say which."""

        def variants(planned: PlannedCell) -> PlannedCell:
            cell = planned.cell
            tau = 0.5 if cell.repetition % 2 else 0.25
            head = Component("gll", {**cell.method.head.parameters, "tau": tau})
            own = cell.method.name == "gll"
            method = replace(cell.method, head=head)
            return replace(planned, cell=replace(cell, method=method)) if own else planned

        replan(results, variants)
        assert failing(baseline, results) == {"cells": "missing: RESULTS has no such row"}
