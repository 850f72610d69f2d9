"""`lapbench history`: past runs in the order of time, whatever is in the folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from past_runs import keep_run
from refusals import refused

from lapbench.cli.track import history
from lapbench.reports.tracking.history import points
from lapbench.tracking.history import HistoryError, load_history, write_history


def run(*arguments: str | Path) -> Result:
    ran = CliRunner().invoke(history, list(map(str, arguments)))
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    assert "Traceback" not in ran.output
    return ran


def lose(record: dict[str, Any]) -> None:
    record |= {"status": "failed", "reason": "RuntimeError: no", "metrics": [], "timing": None}


def lose_gll(record: dict[str, Any]) -> None:
    if record["cell"]["method"]["head"]["name"] == "gll":
        lose(record)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs, whose names are not in the order of time, and the second of which lost GLL."""
    keep_run(tmp_path / "z", 1)
    keep_run(tmp_path / "deep" / "down", 2, "b" * 40 + "+", lose_gll)
    keep_run(tmp_path / "a", 3, "c" * 40)
    return tmp_path


def test_runs_are_in_the_order_of_their_first_record(folder: Path):
    frame = load_history(folder)[0]
    assert list(frame["run"].unique()) == ["z", "deep/down", "a"]
    assert list(frame["commit"].unique()) == ["a" * 40, "b" * 40 + "+", "c" * 40]
    assert set(frame["torch"]) == {"2.13.0+cpu"}
    assert set(frame["lapbench"]) == {"0.1.0"}
    assert frame["processor"].str.startswith("Intel").all()


def test_a_run_is_as_old_as_its_earliest_record(folder: Path):
    path = sorted((folder / "a" / "records").iterdir())[-1]
    record = json.loads(path.read_text())
    record["provenance"] |= {"started": "2025-12-31T08:00:00+00:00", "commit": "d" * 40}
    path.write_text(json.dumps(record))
    frame = load_history(folder)[0]
    assert list(frame["run"].unique()) == ["a", "z", "deep/down"]
    assert frame["commit"].iloc[0] == "d" * 40
    ran = run(folder, "--metrics", "accuracy")
    assert "a has records of 2 commits (ddddddd, ccccccc)" in ran.output


def test_two_runs_of_a_commit_are_two_points(folder: Path):
    keep_run(folder / "again", 4)
    table = points(load_history(folder)[0], "accuracy")
    assert list(table.loc[table["method"] == "softmax", "run"]) == ["z", "deep/down", "a", "again"]


def test_a_folder_that_is_a_run_itself_counts(tmp_path: Path):
    keep_run(tmp_path, 1)
    keep_run(tmp_path / "later", 2)
    assert list(load_history(tmp_path)[0]["run"].unique()) == [".", "later"]


def test_files_go_into_the_folder_in_three_formats(folder: Path):
    ran = run(folder)
    assert ran.exit_code == 0
    written = {path.name for path in (folder / "history").iterdir()}
    metrics = ["accuracy", "robust-accuracy", "step-ratio", "step-megabytes"]
    endings = ["svg", "pdf", "png"]
    assert written == {f"history-{m}.{e}" for m in metrics for e in endings} | {"history.csv"}
    assert all(str(folder / "history" / name) in ran.output for name in written)


def test_it_lists_the_runs_and_says_why_there_are_no_seconds(folder: Path):
    output = run(folder, "--metrics", "accuracy").output
    rows = [line.split() for line in output.splitlines() if line.strip()]
    assert rows[2:5] == [
        ["z", "aaaaaaa", "2026-03-01", "10/10"],
        ["deep/down", "bbbbbbb+", "2026-03-02", "5/10"],
        ["a", "ccccccc", "2026-03-03", "10/10"],
    ]
    assert "Seconds are not drawn" in output


def test_the_csv_has_what_the_figures_show(folder: Path, tmp_path: Path):
    target = tmp_path / "elsewhere"
    run(folder, "--metrics", "accuracy, step_ratio", "--output", target)
    assert len(list(target.iterdir())) == 7
    table = pd.read_csv(target / "history.csv")
    frame = load_history(folder)[0]
    for metric in ("accuracy", "step_ratio"):
        expected = points(frame, metric).drop(columns=["part"]).reset_index(drop=True)
        found = table[table["metric"] == metric].drop(columns=["part"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert table.loc[table["run"] == "deep/down", "cells_failed"].max() == 5


def test_changes_are_said_with_both_values(folder: Path):
    keep_run(
        folder / "new",
        9,
        edit=lambda record: record["provenance"].update(processor="Other \x1b[31m processor"),
    )
    output = run(folder, "--metrics", "accuracy").output
    assert "Numbers before new (aaaaaaa) and from it on may not be comparable" in output
    assert "Processor @ 2.80GHz → Other �[31m processor." in output


def test_changed_data_are_said(folder: Path):
    for name, data in (("z", "1a2b"), ("deep/down", ""), ("a", "3c4d")):
        plan = json.loads((folder / name / "plan.json").read_text())
        for planned in plan["cells"]:
            planned["data"] = data
        (folder / name / "plan.json").write_text(json.dumps(plan))
    assert "data of digits: 1a2b → 3c4d." in run(folder, "--metrics", "accuracy").output


def test_what_cannot_be_read_is_named_and_left_out(folder: Path):
    (folder / "cut").mkdir()
    (folder / "cut" / "plan.json").write_text('{"schema": 3')
    (folder / "old").mkdir()
    (folder / "old" / "plan.json").write_text('{"schema": 1}')
    shutil.copytree(folder / "a", folder / "unstarted")
    shutil.rmtree(folder / "unstarted" / "records")
    record = sorted((folder / "z" / "records").iterdir())[0]
    record.write_text(record.read_text()[:100])
    ran = run(folder, "--metrics", "accuracy")
    assert ran.exit_code == 0
    for text in (
        "cut is left out: ",
        "old is left out: ",
        "reads schema 3",
        "unstarted is left out: none of its 10 cells has a record.",
        f"z: a record is left out: {record} is damaged",
    ):
        assert text in ran.output
    assert list(load_history(folder)[0]["run"].unique()) == ["z", "deep/down", "a"]


def test_a_run_without_any_number_is_a_point_in_time(folder: Path):
    keep_run(folder / "lost", 7, edit=lose)
    table = points(load_history(folder)[0], "accuracy")
    assert table.loc[table["run"] == "lost", "value"].isna().all()
    lines = run(folder, "--metrics", "accuracy").output.splitlines()
    assert ["lost", "aaaaaaa", "2026-03-07", "0/10"] in map(str.split, lines)


def test_only_failures_are_listed_without_a_figure(tmp_path: Path):
    keep_run(tmp_path / "lost", 7, edit=lose)
    ran = run(tmp_path)
    assert ran.exit_code == 0
    assert [path.name for path in (tmp_path / "history").iterdir()] == ["history.csv"]


def test_no_run_is_a_mistake_that_says_what_is_expected(tmp_path: Path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "plan.json").write_text("?")
    for folder in (tmp_path, tmp_path / "nowhere"):
        ran = run(folder)
        assert ran.exit_code == 2
        assert f"{folder} has no results folder with a record" in ran.output
        assert "lapbench run smoke --results past/$(git rev-parse --short HEAD)" in ran.output
    assert "broken is left out" in run(tmp_path).output
    assert not (tmp_path / "history").exists()


def test_runs_of_several_suites_are_no_history(folder: Path):
    plan = json.loads((folder / "a" / "plan.json").read_text())
    (folder / "a" / "plan.json").write_text(json.dumps({**plan, "suite": "other"}))
    ran = run(folder)
    assert ran.exit_code == 2
    assert "has runs of 2 suites" in ran.output
    assert "default (deep/down, z)" in ran.output
    assert "other (a)" in ran.output


@pytest.mark.parametrize("name", ["acuracy", "step_seconds", "stage: solve", "training_seconds"])
def test_other_metrics_are_refused_with_those_that_are_accepted(folder: Path, name: str):
    with refused(HistoryError, name, "accuracy, robust_accuracy") as caught:
        write_history(folder, metrics=name)
    assert ("Ratios to softmax" in str(caught.value)) == (name != "acuracy")


def test_a_metric_that_no_run_has_is_refused(folder: Path):
    ran = run(folder, "--metrics", "accuracy,gradient_error")
    assert ran.exit_code == 2
    assert f"no run in {folder} has gradient_error" in ran.output


def test_help_teaches_to_keep_a_run_a_commit():
    said = " ".join(run("--help").output.split())
    assert "lapbench run smoke --results past/$(git rev-parse --short HEAD)" in said
    assert "Seconds are never drawn" in said
