"""Several results folders make one report; contradictions are errors."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from expect_refusal import refused
from make_finished_runs import finished

import lapbench
from lapbench.cli.main import main
from lapbench.results.collect import collect, load_records
from lapbench.results.folder import RecordError, ResultsFolder

ACCURACY = "metric == 'accuracy' and attack == ''"


@pytest.fixture
def monday(tiny_suite: Path, tmp_path: Path) -> Path:
    """The two repetitions of softmax and gll of a small suite."""
    return finished(tiny_suite, tmp_path / "monday")


@pytest.fixture
def tuesday(tiny_suite: Path, tmp_path: Path) -> Path:
    """A copy, as another machine that computes the same would have written it."""
    return finished(tiny_suite, tmp_path / "tuesday")


def edit(path: Path, change: Callable[[Any], Any]) -> Path:
    """Change a JSON file in place."""
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    return path


def first(folder: Path) -> Path:
    return min(folder.glob("records/*.json"))


def set_accuracy(value: float) -> Callable[[Any], Any]:
    return lambda record: record["metrics"][0].update(value=value)


class TestOneCellInSeveralFolders:
    def test_equal_records_count_once(self, monday: Path, tuesday: Path):
        edit(first(tuesday), lambda r: r["provenance"].update(processor="another"))
        merged = load_records([monday, tuesday, tuesday])
        pd.testing.assert_frame_equal(merged, load_records(monday))

    def test_equal_records_that_are_not_finite_are_equal(self, monday: Path, tuesday: Path):
        for folder in (monday, tuesday):
            edit(first(folder), set_accuracy(float("nan")))
        assert len(collect([monday, tuesday]).records) == 4

    def test_repetitions_of_two_machines_add_up(self, monday: Path, tuesday: Path):
        for folder, repetition in ((monday, 0), (tuesday, 1)):
            for path in folder.glob("records/*.json"):
                if json.loads(path.read_text())["cell"]["repetition"] == repetition:
                    path.unlink()
        assert set(load_records(monday).query(ACCURACY)["repetition"]) == {1}
        assert set(load_records([monday, tuesday]).query(ACCURACY)["repetition"]) == {0, 1}
        homes = collect([monday, tuesday]).homes.values()
        assert sorted(home.path for home in homes) == [monday] * 2 + [tuesday] * 2

    def test_records_that_disagree_are_named_and_nothing_is_written(
        self, monday: Path, tuesday: Path, tmp_path: Path
    ):
        changed = edit(first(tuesday), set_accuracy(0.125))
        named = [
            f"{monday / 'records' / changed.name} and {changed}: ",
            "metrics.0.value",
            " 0.125",
        ]
        with refused(RecordError, *named):
            collect([monday, tuesday])
        output = tmp_path / "both"
        arguments = ["report", str(monday), str(tuesday), "--output", str(output)]
        assert CliRunner().invoke(main, arguments).exit_code == 2
        assert not output.exists()

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_finished_record_goes_before_a_failed_one(
        self, monday: Path, tuesday: Path, order: int
    ):
        edit(first(tuesday), lambda r: r.update(status="failed", reason="OSError: no room"))
        result = collect([monday, tuesday][::order]).records.values()
        assert {record.status for record in result} == {"ok"}


class TestSeveralSuites:
    def test_rows_of_one_name_are_told_apart_by_their_suite(
        self, monday: Path, tiny_suite: Path, tmp_path: Path
    ):
        attacks = 'epsilon = 0.1\nsamples = 8\nattacks = [{name = "fgsm", epsilons = [0.1]}]\n'
        attacked = tmp_path / "attacked.toml"
        attacked.write_text(f"{tiny_suite.read_text()}\n[robustness]\n{attacks}")
        frame = load_records([monday, finished(attacked, tmp_path / "r", methods="softmax")])
        assert set(frame["method"]) == {
            f"{method} (suite {suite})"
            for method in ("softmax", "gll")
            for suite in ("tiny", "attacked")
        }
        assert frame.query(ACCURACY).groupby("method")["repetition"].nunique().max() == 2

    def test_different_budgets_are_rows_of_their_own_and_the_title_names_both_suites(
        self, monday: Path, tiny_suite: Path, tmp_path: Path
    ):
        longer = tmp_path / "longer.toml"
        text = tiny_suite.read_text().replace("epochs = 3", "epochs = 4")
        longer.write_text(text.replace('"tiny"', '"larger"'))
        both = [monday, finished(longer, tmp_path / "r", seeds=1, methods="softmax")]
        assert {"softmax (epochs=3)", "softmax (epochs=4)"} < set(load_records(both)["method"])
        assert collect(both).plan.title == "tiny + larger"

    def test_two_versions_of_a_method_are_never_one_row(self, monday: Path, tuesday: Path):
        """As keys of older versions differ, and their repetitions would be pooled."""
        edit(tuesday / "plan.json", lambda plan: plan["cells"][0].update(key="0" * 16))
        with refused(RecordError, "two_moons", "versions"):
            collect([monday, tuesday])

    @pytest.mark.parametrize(
        ("field", "value", "own"), [("threads", 2, 1), ("device", "cuda", "cpu")]
    )
    def test_cells_of_other_settings_are_never_one_row(
        self, monday: Path, tuesday: Path, field: str, value: object, own: object
    ):
        """Not even where they share no repetition."""

        def change(plan: Any) -> None:
            for number, cell in enumerate(plan["cells"]):
                cell["key"] = f"{number:016x}"
                cell["cell"][field] = value
                cell["cell"]["repetition"] += 2

        edit(tuesday / "plan.json", change)
        with refused(RecordError, field, json.dumps(own), json.dumps(value)):
            collect([monday, tuesday])


def test_a_record_of_another_schema_is_refused_with_the_reason(monday: Path):
    edit(first(monday), lambda record: record.update(schema=2))
    report = lapbench.write_report(monday)
    assert any("refused" in line and "schema 2" in line for line in report.unfinished)
    assert set(report.board["cells_planned"]) == {2}


def test_a_record_of_another_folder_replaces_one_that_cannot_be_read(monday: Path, tuesday: Path):
    first(tuesday).write_text("junk")
    assert collect([monday, tuesday]).refused == {}


def test_records_without_a_plan_are_counted(monday: Path):
    stray = monday / "records" / f"{'f' * 16}.json"
    shutil.copy(first(monday), stray)
    assert collect(monday).others == 1
    assert stray.stem in ResultsFolder(monday).list_keys()


def test_folders_that_make_no_report_are_named(monday: Path, tmp_path: Path):
    with refused(RecordError, str(tmp_path / "nothing"), "plan.json"):
        collect([monday, tmp_path / "nothing"])
    with refused(RecordError, "results"):
        collect([])
    shown = CliRunner().invoke(main, ["report", str(monday), str(monday)])
    assert shown.exit_code == 2
    assert "--output" in shown.output
