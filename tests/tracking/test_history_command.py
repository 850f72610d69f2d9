"""`lapbench history`: past runs in the order of time, whatever is in the folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from expect_refusal import refused
from make_results import keep_run

from lapbench.cli.track import history
from lapbench.reports.tracking.history import points
from lapbench.tracking.history import HistoryError, load_history, write_history


def run(*arguments: str | Path) -> Result:
    ran = CliRunner().invoke(history, list(map(str, arguments)))
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran


def accuracies(folder: Path) -> str:
    """What the command prints with the figure of accuracy alone."""
    ran = run(folder, "--metrics", "accuracy")
    assert ran.exit_code == 0
    return ran.output


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


def test_runs_are_in_the_order_of_time_and_listed(folder: Path):
    keep_run(folder / "again", 4)
    keep_run(folder / "lost", 5, edit=lose)
    frame = load_history(folder)[0]
    assert list(frame["run"].unique()) == ["z", "deep/down", "a", "again", "lost"]
    assert list(frame["commit"].unique()) == ["a" * 40, "b" * 40 + "+", "c" * 40]
    assert set(frame["torch"]) == {"2.13.0+cpu"}
    assert frame["processor"].str.startswith("Intel").all()
    table = points(frame, "accuracy")
    assert table.loc[table["run"] == "lost", "value"].isna().all()
    rows = [line.split() for line in accuracies(folder).splitlines() if line.strip()]
    assert rows[2:7] == [
        ["z", "aaaaaaa", "2026-03-01", "10/10"],
        ["deep/down", "bbbbbbb+", "2026-03-02", "5/10"],
        ["a", "ccccccc", "2026-03-03", "10/10"],
        ["again", "aaaaaaa", "2026-03-04", "10/10"],
        ["lost", "aaaaaaa", "2026-03-05", "0/10"],
    ]


def test_a_run_is_as_old_as_its_earliest_record(folder: Path):
    path = sorted((folder / "a" / "records").iterdir())[-1]
    record = json.loads(path.read_text())
    record["provenance"] |= {"started": "2025-12-31T08:00:00+00:00", "commit": "d" * 40}
    path.write_text(json.dumps(record))
    frame = load_history(folder)[0]
    assert list(frame["run"].unique()) == ["a", "z", "deep/down"]
    assert frame["commit"].iloc[0] == "d" * 40
    assert "2 commits (ddddddd, ccccccc)" in accuracies(folder)


def test_a_folder_that_is_a_run_itself_counts(tmp_path: Path):
    keep_run(tmp_path, 1)
    keep_run(tmp_path / "later", 2)
    assert list(load_history(tmp_path)[0]["run"].unique()) == [".", "later"]


def test_figures_and_their_numbers_are_written(folder: Path, tmp_path: Path):
    ran = run(folder)
    assert ran.exit_code == 0
    written = {path.name for path in (folder / "history").iterdir()}
    metrics = ["accuracy", "robust-accuracy", "negative-log-likelihood", "step-ratio"]
    endings = ["svg", "pdf", "png"]
    assert written == {f"history-{m}.{e}" for m in metrics for e in endings} | {"history.csv"}
    assert all(str(folder / "history" / name) in ran.output for name in written)

    target = tmp_path / "elsewhere"
    run(folder, "--metrics", "accuracy, step_ratio", "--output", target)
    assert len(list(target.iterdir())) == 7
    table = pd.read_csv(target / "history.csv")
    frame = load_history(folder)[0]
    expected = pd.concat([points(frame, metric) for metric in ("accuracy", "step_ratio")])
    pd.testing.assert_frame_equal(
        table.drop(columns="part"),
        expected.drop(columns="part").reset_index(drop=True),
        check_dtype=False,
    )
    assert table.loc[table["run"] == "deep/down", "cells_failed"].max() == 5


def test_changes_are_named_with_both_values(folder: Path):
    for name, data in (("z", "1a2b"), ("deep/down", ""), ("a", "3c4d")):
        plan = json.loads((folder / name / "plan.json").read_text())
        for planned in plan["cells"]:
            planned["data"] = data
        (folder / name / "plan.json").write_text(json.dumps(plan))
    processor = "Other \x1b[31m processor"
    keep_run(folder / "new", 9, edit=lambda r: r["provenance"].update(processor=processor))
    output = accuracies(folder)
    assert "before a and from it on" in output
    assert "data of digits: 1a2b → 3c4d." in output
    assert "before new and from it on" in output
    assert "Processor @ 2.80GHz → Other �[31m processor." in output


def test_what_cannot_be_read_is_named_and_left_out(folder: Path):
    for name, content in (("cut", '{"schema": 4'), ("old", '{"schema": 1}')):
        (folder / name).mkdir()
        (folder / name / "plan.json").write_text(content)
    shutil.copytree(folder / "a", folder / "unstarted")
    shutil.rmtree(folder / "unstarted" / "records")
    record = sorted((folder / "z" / "records").iterdir())[0]
    record.write_text(record.read_text()[:100])
    output = accuracies(folder)
    for text in ("cut is left out: ", "old is left out: ", "schema 1", str(record)):
        assert text in output
    assert "unstarted is left out: " in output
    assert list(load_history(folder)[0]["run"].unique()) == ["z", "deep/down", "a"]


def test_only_failures_are_listed_without_a_figure(tmp_path: Path):
    keep_run(tmp_path / "lost", 7, edit=lose)
    assert run(tmp_path).exit_code == 0
    assert [path.name for path in (tmp_path / "history").iterdir()] == ["history.csv"]


def test_a_folder_without_runs_is_refused(tmp_path: Path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "plan.json").write_text("?")
    with refused(HistoryError, "FOLDER", str(tmp_path), "broken is left out", "lapbench run"):
        write_history(tmp_path)
    assert run(tmp_path / "nowhere").exit_code == 2
    assert not (tmp_path / "history").exists()


def test_runs_of_several_suites_are_refused(folder: Path):
    plan = json.loads((folder / "a" / "plan.json").read_text())
    (folder / "a" / "plan.json").write_text(json.dumps({**plan, "suite": "other"}))
    with refused(HistoryError, "FOLDER", str(folder), "default", "other in a"):
        write_history(folder)


@pytest.mark.parametrize("name", ["acuracy", "step_seconds", "gradient_error"])
def test_metrics_that_no_run_has_are_refused(folder: Path, name: str):
    with refused(
        HistoryError,
        "metrics",
        name,
        "accuracy, robust_accuracy, negative_log_likelihood, step_ratio",
    ):
        write_history(folder, metrics=name)
