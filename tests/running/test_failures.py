"""A failure is a record, and stops nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import TINY_SUITE, install_plugins
from expect_refusal import refused
from make_finished_runs import finished

import lapbench
from lapbench.cli.main import main
from lapbench.results.collect import load_records
from lapbench.results.folder import DamagedRecordError, ResultsFolder


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, Path]]:
    """Exit status, output and folder of a run with methods that fail, diverge and skip."""
    folder = tmp_path_factory.mktemp("failures")
    with pytest.MonkeyPatch.context() as patch:
        install_plugins(folder / "site", patch)
        methods = '["broken", "exploding", "picky", "softmax"]'
        (folder / "suite.toml").write_text(TINY_SUITE.replace('["softmax", "gll"]', methods))
        yield *command("run", folder / "suite.toml", "--results", folder / "r"), folder / "r"


@pytest.fixture
def results(tiny_suite: Path, tmp_path: Path) -> Path:
    """Results of two finished cells."""
    return finished(tiny_suite, tmp_path / "results", seeds=1)


def command(*arguments: object) -> tuple[int, str]:
    """Exit status and output of the command."""
    ran = CliRunner().invoke(main, [*map(str, arguments)])
    return ran.exit_code, ran.output


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
        assert "raise RuntimeError" in command("show", record.key, "--results", results)[1]


def test_every_outcome_is_in_the_tables(outcome: tuple[int, str, Path]):
    _, output, results = outcome
    markdown = (results / "leaderboard.md").read_text()
    failed = load_records(results).query("status == 'failed'")["key"]
    for text in (output, markdown):
        assert all(f"lapbench show {key}" in text for key in failed)
        assert "broken on two_moons, repetition 0: failed (RuntimeError: no such" in text
        assert "exploding on two_moons, repetition 1: diverged (epoch 1: the loss is nan" in text
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


def test_failed_cells_of_the_selection_are_tried_again_unless_told_not_to(
    outcome: tuple[int, str, Path],
):
    results = outcome[2]
    again = ("run", results.parent / "suite.toml", "--results", results)
    assert "2 of 8 cells would run" in command(*again, "--dry-run")[1]
    assert "0 of 8 cells would run" in command(*again, "--dry-run", "--no-retry")[1]
    assert command(*again, "--methods", "softmax")[0] == 0


def test_diverged_cell_keeps_the_curves_until_then(tiny_suite: Path, tmp_path: Path):
    text = tiny_suite.read_text().replace("epochs = 3", "epochs = 30\nlearning_rate = 1e12")
    tiny_suite.write_text(text)
    lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1)
    folder = ResultsFolder(tmp_path / "r")
    records = map(folder.read_record, folder.list_keys())
    diverged = [record for record in records if record.status == "diverged"]
    assert diverged
    for record in diverged:
        epoch = int(str(record.reason).split(":")[0].removeprefix("epoch "))
        assert len(record.curves["training_loss"]) == epoch - 1


@pytest.mark.parametrize(
    "content", [b"", b'{"schema": 4, "suite": "s", "title": "t", "cells": []}']
)
def test_damaged_plan_is_named(results: Path, content: bytes):
    path = results / "plan.json"
    path.write_bytes(content)
    status, output = command("report", results)
    assert status == 2
    assert f"Error: {path} is damaged; delete it" in output


@pytest.mark.usefixtures("figures")
def test_damaged_arrays_cost_their_figure_alone(results: Path):
    path = results / "arrays" / f"{ResultsFolder(results).list_keys()[0]}.npz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"junk")
    status, output = command("report", results)
    assert status == 0
    assert "figure gll-fig3: failed" in output
    assert f"{path} is damaged; delete it" in output
    assert "accuracy.png" in output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"schema": 4, "status": "ok"}', "is damaged; delete it"),
        (b"[]", "is damaged; delete it"),
        (b'{"schema": 99}', "has schema 99, this lapbench reads schema 4"),
    ],
)
def test_record_that_cannot_be_read_is_refused_with_the_reason(
    results: Path, content: bytes, reason: str
):
    path = min(results.glob("records/*.json"))
    path.write_bytes(content)
    status, output = command("report", results)
    assert status == 0
    assert "refused" in output
    assert f"{path} {reason}" in output
    (row,) = load_records(results).query("status == 'refused'").itertuples()
    assert row.key == path.stem


def test_ok_record_without_numbers_and_damaged_weights_are_named(results: Path):
    record = next(results.glob("records/*.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "metrics": []}))
    with refused(DamagedRecordError, str(record)):
        ResultsFolder(results).read_record(record.stem)
    weights = next(path for path in results.glob("weights/*.pt") if path.stem != record.stem)
    weights.write_bytes(b"junk")
    with refused(DamagedRecordError, str(weights)):
        lapbench.load_model(weights.stem, results)
