"""Several results folders make one report, and contradict each other in the open."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from refusals import refused

import lapbench
from lapbench.cli.main import main
from lapbench.results.collect import collect, load_records
from lapbench.results.folder import RecordError, ResultsFolder

ACCURACY = "metric == 'accuracy' and attack == ''"


@pytest.fixture
def monday(tiny_suite: Path, tmp_path: Path) -> Path:
    """The two repetitions of softmax and gll of a small suite."""
    lapbench.run(tiny_suite, results=tmp_path / "monday")
    return tmp_path / "monday"


@pytest.fixture
def tuesday(monday: Path, tmp_path: Path) -> Path:
    """A copy, as another machine that computes the same would have written it."""
    return Path(shutil.copytree(monday, tmp_path / "tuesday"))


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def other_accuracy(folder: Path) -> Path:
    """Change the accuracy in a record, and return it."""
    path = min(folder.glob("records/*.json"))
    record = json.loads(path.read_text())
    record["metrics"][0]["value"] = 0.125
    change(path, metrics=record["metrics"])
    return path


class TestOneCellInSeveralFolders:
    def test_equal_records_count_once(self, monday: Path, tuesday: Path):
        pd.testing.assert_frame_equal(load_records([monday, tuesday]), load_records(monday))

    def test_equal_records_that_are_not_finite_are_equal(self, monday: Path, tuesday: Path):
        for folder in (monday, tuesday):
            path = min(folder.glob("records/*.json"))
            path.write_text(path.read_text().replace('"value": ', '"value": NaN, "x": ', 1))
            record = json.loads(path.read_text())
            del record["metrics"][0]["x"]
            path.write_text(json.dumps(record))
        assert len(collect([monday, tuesday]).records) == 4

    def test_times_and_provenance_may_differ(self, monday: Path, tuesday: Path):
        path = min(tuesday.glob("records/*.json"))
        provenance = json.loads(path.read_text())["provenance"]
        change(path, provenance={**provenance, "processor": "another"})
        assert len(collect([monday, tuesday]).records) == 4

    def test_repetitions_of_two_machines_add_up(self, monday: Path, tuesday: Path):
        for folder, repetition in ((monday, 0), (tuesday, 1)):
            for path in folder.glob("records/*.json"):
                if json.loads(path.read_text())["cell"]["repetition"] == repetition:
                    path.unlink()
        assert set(load_records(monday).query(ACCURACY)["repetition"]) == {1}
        assert set(load_records([monday, tuesday]).query(ACCURACY)["repetition"]) == {0, 1}

    def test_records_that_disagree_are_named_with_their_values(self, monday: Path, tuesday: Path):
        changed = other_accuracy(tuesday)
        with refused(RecordError, "1 cell(s)") as caught:
            collect([monday, tuesday])
        assert f"{monday / 'records' / changed.name} and {changed}: " in str(caught.value)
        assert "metrics.0.value (accuracy) is " in str(caught.value)
        assert " and 0.125" in str(caught.value)

    def test_a_conflict_is_a_message_and_writes_nothing(
        self, monday: Path, tuesday: Path, tmp_path: Path
    ):
        other_accuracy(tuesday)
        output = tmp_path / "both"
        arguments = ["report", str(monday), str(tuesday), "--output", str(output)]
        shown = CliRunner().invoke(main, arguments)
        assert shown.exit_code == 2
        assert "have records that disagree" in shown.output
        assert not output.exists()

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_finished_record_goes_before_a_failed_one(
        self, monday: Path, tuesday: Path, order: tuple[int, int]
    ):
        path = min(tuesday.glob("records/*.json"))
        change(path, status="failed", reason="OSError: no room")
        folders = [(monday, tuesday)[number] for number in order]
        assert {record.status for record in collect(folders).records.values()} == {"ok"}

    def test_arrays_come_from_the_folder_of_the_record(self, monday: Path, tuesday: Path):
        path = min(monday.glob("records/*.json"))
        path.unlink()
        assert collect([monday, tuesday]).homes[path.stem].path == tuesday


class TestSeveralSuites:
    def test_rows_of_one_name_are_told_apart_by_their_suite(
        self, monday: Path, tiny_suite: Path, tmp_path: Path
    ):
        attacked = tmp_path / "attacked.toml"
        attacks = 'epsilon = 0.1\nsamples = 8\nattacks = [{name = "fgsm", epsilons = [0.1]}]\n'
        attacked.write_text(f"{tiny_suite.read_text()}\n[robustness]\n{attacks}")
        lapbench.run(attacked, results=tmp_path / "r", methods="softmax")
        frame = load_records([monday, tmp_path / "r"])
        assert set(frame["method"]) == {
            f"{method} (suite {suite})"
            for method in ("softmax", "gll")
            for suite in ("tiny", "attacked")
        }
        assert frame.query(ACCURACY).groupby("method")["repetition"].nunique().max() == 2

    def test_different_budgets_are_rows_of_their_own(
        self, monday: Path, tiny_suite: Path, tmp_path: Path
    ):
        longer = tmp_path / "longer.toml"
        longer.write_text(tiny_suite.read_text().replace("epochs = 3", "epochs = 4"))
        lapbench.run(longer, results=tmp_path / "r", seeds=1, methods="softmax")
        frame = load_records([monday, tmp_path / "r"])
        assert {"softmax (epochs=3)", "softmax (epochs=4)"} < set(frame["method"])

    def test_two_versions_of_a_method_are_never_one_row(self, monday: Path, tuesday: Path):
        """As keys of older versions differ, and their repetitions would be pooled."""
        plan = json.loads((tuesday / "plan.json").read_text())
        plan["cells"][0]["key"] = "0" * 16
        (tuesday / "plan.json").write_text(json.dumps(plan))
        with refused(RecordError, "versions"):
            collect([monday, tuesday])

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [("threads", 2, "threads is 1 and 2"), ("device", "cuda", 'device is "cpu" and "cuda"')],
    )
    def test_cells_of_other_settings_are_never_one_row(
        self, monday: Path, tuesday: Path, field: str, value: object, said: str
    ):
        """Not even where they share no repetition."""
        plan = json.loads((tuesday / "plan.json").read_text())
        for number, cell in enumerate(plan["cells"]):
            cell["key"] = f"{number:016x}"
            cell["cell"][field] = value
            cell["cell"]["repetition"] += 2
        (tuesday / "plan.json").write_text(json.dumps(plan))
        with refused(RecordError, f"would mix cells whose {said}"):
            collect([monday, tuesday])

    def test_the_title_names_all(self, monday: Path, tiny_suite: Path, tmp_path: Path):
        other = tmp_path / "other.toml"
        other.write_text(tiny_suite.read_text().replace('"tiny"', '"larger"').replace("= 8", "= 9"))
        lapbench.run(other, results=tmp_path / "r", seeds=1, methods="softmax")
        assert collect([monday, tmp_path / "r"]).plan.title == "tiny + larger"


class TestRecordsThatCannotBeRead:
    def test_another_schema_is_refused_with_the_reason(self, monday: Path):
        path = min(monday.glob("records/*.json"))
        change(path, schema=2)
        report = lapbench.write_report(monday)
        assert any("refused" in line and "has schema 2" in line for line in report.unfinished)
        assert set(report.board["cells_planned"]) == {2}

    def test_the_record_of_another_folder_takes_its_place(self, monday: Path, tuesday: Path):
        min(tuesday.glob("records/*.json")).write_text("junk")
        assert collect([monday, tuesday]).refused == {}

    def test_a_folder_without_a_plan_is_explained(self, monday: Path, tmp_path: Path):
        with refused(RecordError, "plan.json"):
            collect([monday, tmp_path / "nothing"])

    def test_no_folder_is_explained(self):
        with refused(RecordError, "results:"):
            collect([])

    def test_records_without_a_plan_are_counted(self, monday: Path):
        stray = monday / "records" / f"{'f' * 16}.json"
        shutil.copy(min(monday.glob("records/*.json")), stray)
        assert collect(monday).others == 1
        assert stray.stem in ResultsFolder(monday).list_keys()


def test_several_folders_need_an_output(monday: Path, tuesday: Path):
    shown = CliRunner().invoke(main, ["report", str(monday), str(tuesday)])
    assert shown.exit_code == 2
    assert "--output" in shown.output


def test_one_folder_given_twice_is_itself(monday: Path):
    pd.testing.assert_frame_equal(load_records([monday, monday]), load_records(monday))
