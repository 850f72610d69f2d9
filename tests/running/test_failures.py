"""A failure is a record, and stops nothing else."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from expect_refusal import refused

import lapbench
from lapbench.cli.main import main
from lapbench.results.collect import load_records
from lapbench.results.folder import DamagedRecordError, ResultsFolder


@pytest.fixture
def outcome(tiny_suite: Path, tmp_path: Path, plugins: None) -> tuple[int, str, Path]:  # noqa: ARG001
    """Exit status, output and folder of a run with methods that fail, diverge and skip."""
    methods = 'methods = ["broken", "exploding", "picky", "softmax"]'
    tiny_suite.write_text(tiny_suite.read_text().replace('methods = ["softmax", "gll"]', methods))
    results = tmp_path / "results"
    ran = CliRunner().invoke(main, ["run", str(tiny_suite), "--results", str(results)])
    return ran.exit_code, ran.output, results


def test_failed_cell_is_stored_with_its_traceback(outcome: tuple[int, str, Path]):
    status, output, results = outcome
    assert status == 1
    assert "2 of 8 cells failed" in output
    folder = ResultsFolder(results)
    failed = [
        record
        for record in map(folder.read_record, folder.list_keys())
        if record.status == "failed"
    ]
    assert len(failed) == 2
    for record in failed:
        assert record.reason == "RuntimeError: no such | luck"
        assert "raise RuntimeError" in str(record.traceback)
        shown = CliRunner().invoke(main, ["show", record.key, "--results", str(results)])
        assert "raise RuntimeError" in shown.output


def test_every_outcome_is_in_the_tables(outcome: tuple[int, str, Path]):
    _, output, results = outcome
    markdown = (results / "leaderboard.md").read_text()
    failed = load_records(results).query("status == 'failed'")["key"]
    for text in (output, markdown):
        assert all(f"lapbench show {key}" in text for key in failed)
        assert "broken on two_moons, repetition 0: failed (RuntimeError: " in text
        assert "exploding on two_moons, repetition 1: diverged (epoch 1: " in text
        assert "picky on two_moons, repetition 0: skipped (two_moons is beneath it)" in text
    frame = load_records(results)
    states = frame.drop_duplicates("key").groupby("method")["status"].agg(set).to_dict()
    assert states == {
        "broken": {"failed"},
        "exploding": {"diverged"},
        "picky": {"skipped"},
        "softmax": {"ok"},
    }
    board = (results / "leaderboard.csv").read_text()
    assert "two_moons,mlp,broken,natural,autograd,accuracy,,,,0,2" in board


def test_failed_cells_are_tried_again_unless_told_not_to(
    outcome: tuple[int, str, Path], tiny_suite: Path
):
    _, _, results = outcome
    arguments = ["run", str(tiny_suite), "--results", str(results), "--dry-run"]
    assert "2 of 8 cells would run" in CliRunner().invoke(main, arguments).output
    kept = CliRunner().invoke(main, [*arguments, "--no-retry"])
    assert "0 of 8 cells would run" in kept.output


def test_failure_elsewhere_does_not_fail_a_selection(
    outcome: tuple[int, str, Path], tiny_suite: Path
):
    _, _, results = outcome
    arguments = ["run", str(tiny_suite), "--results", str(results), "--methods", "softmax"]
    assert CliRunner().invoke(main, arguments).exit_code == 0


def test_diverged_cell_keeps_the_curves_until_then(tiny_suite: Path, tmp_path: Path):
    text = tiny_suite.read_text().replace("epochs = 3", "epochs = 30\nlearning_rate = 1e18")
    text = text.replace("learning_rate = 1e18", "learning_rate = 1e12")
    tiny_suite.write_text(text)
    lapbench.run(tiny_suite, results=tmp_path / "results", seeds=1)
    folder = ResultsFolder(tmp_path / "results")
    lengths = []
    for key in folder.list_keys():
        record = folder.read_record(key)
        if record.status == "diverged":
            epoch = int(str(record.reason).split(":")[0].removeprefix("epoch "))
            lengths.append(len(record.curves["training_loss"]))
            assert lengths[-1] == epoch - 1
    assert lengths


@pytest.mark.parametrize(
    "content", [b"", b'{"schema": 4, "suite": "s", "title": "t", "cells": []}']
)
def test_damaged_plan_is_named_with_the_remedy(tiny_suite: Path, tmp_path: Path, content: bytes):
    results = tmp_path / "results"
    lapbench.run(tiny_suite, results=results, seeds=1)
    path = results / "plan.json"
    path.write_bytes(content)
    shown = CliRunner().invoke(main, ["report", str(results)])
    assert shown.exit_code == 2
    assert f"Error: {path} " in shown.output


@pytest.mark.usefixtures("figures")
def test_damaged_arrays_cost_their_figure_alone(tiny_suite: Path, tmp_path: Path):
    results = tmp_path / "results"
    lapbench.run(tiny_suite, results=results, seeds=1)
    path = results / "arrays" / f"{ResultsFolder(results).list_keys()[0]}.npz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"junk")
    shown = CliRunner().invoke(main, ["report", str(results)])
    assert shown.exit_code == 0
    assert "figure gll-fig3: failed" in shown.output
    assert f"{path} " in shown.output
    assert "accuracy.png" in shown.output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"schema": 4, "status": "ok"}', "is damaged"),
        (b"[]", "is damaged"),
        (b'{"schema": 99}', "has schema 99"),
    ],
)
def test_record_that_cannot_be_read_is_refused_with_the_reason(
    tiny_suite: Path, tmp_path: Path, content: bytes, reason: str
):
    results = tmp_path / "results"
    lapbench.run(tiny_suite, results=results, seeds=1)
    path = min(results.glob("records/*.json"))
    path.write_bytes(content)
    shown = CliRunner().invoke(main, ["report", str(results)])
    assert shown.exit_code == 0
    assert "refused" in shown.output
    assert f"{path} {reason}" in shown.output
    (row,) = load_records(results).query("status == 'refused'").itertuples()
    assert row.key == path.stem


def test_ok_record_without_numbers_is_damaged(tiny_suite: Path, tmp_path: Path):
    results = tmp_path / "results"
    lapbench.run(tiny_suite, results=results, seeds=1)
    path = next(results.glob("records/*.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "metrics": []}))
    with refused(DamagedRecordError, str(path)):
        ResultsFolder(results).read_record(path.stem)


def test_damaged_weights_are_named(tiny_suite: Path, tmp_path: Path):
    results = tmp_path / "results"
    lapbench.run(tiny_suite, results=results, seeds=1)
    path = next(results.glob("weights/*.pt"))
    path.write_bytes(b"junk")
    with refused(DamagedRecordError, str(path)):
        lapbench.load_model(path.stem, results)
