"""Equal runs give equal records, also when one was killed and resumed."""

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path
from pickle import PicklingError

import pytest
import torch
from expect_refusal import refused
from make_finished_runs import finished
from make_import_graph import ROOT
from make_runs import COMMAND, comparable

import lapbench as package
from lapbench.results.folder import ResultsFolder
from lapbench.results.provenance import provenance
from lapbench.running.api import RunOptions, prepare
from lapbench.seeds import Seeds

EXPECTED = [679, 938, 895]


def test_two_runs_agree_bit_for_bit(tiny_suite: Path, tmp_path: Path):
    first = comparable(finished(tiny_suite, tmp_path / "one"))
    package.run(tiny_suite, results=tmp_path / "two")
    assert first == comparable(tmp_path / "two")
    assert len(first) == 4
    assert all(record["metrics"] and record["curves"] for record in first.values())


def test_killed_run_resumes_to_the_same_records(tiny_suite: Path, tmp_path: Path):
    tiny_suite.write_text(tiny_suite.read_text().replace("epochs = 3", "epochs = 40"))
    killed = tmp_path / "killed"
    run = subprocess.Popen([*COMMAND, "run", str(tiny_suite), "--results", str(killed)])
    while not list(killed.glob("records/*.json")) and run.poll() is None:
        time.sleep(0.01)
    run.kill()
    run.wait()
    kept = {path: path.read_bytes() for path in (killed / "records").glob("*.json")}
    assert 1 <= len(kept) < 4

    (killed / "records" / ".0123456789abcdef.json.1.part").write_text("{")
    (killed / "records" / ".0123456789abcdef.json").write_text("{")
    package.run(tiny_suite, results=killed)
    assert comparable(killed) == comparable(finished(tiny_suite, tmp_path / "whole"))
    assert len(ResultsFolder(killed).list_keys()) == 4
    assert all(path.read_bytes() == content for path, content in kept.items())


@pytest.mark.usefixtures("plugins")
def test_noise_from_the_global_generator_is_reproducible_and_leaves_it_alone(
    tiny_suite: Path, tmp_path: Path
):
    methods = 'methods = ["noisy"]'
    tiny_suite.write_text(tiny_suite.read_text().replace('methods = ["softmax", "gll"]', methods))
    torch.manual_seed(0)
    for folder in ("one", "two"):
        package.run(tiny_suite, results=tmp_path / folder)
        torch.randn(7)
    assert comparable(tmp_path / "one") == comparable(tmp_path / "two")
    following = torch.randn(3)
    torch.manual_seed(0)
    torch.randn(7), torch.randn(7)
    assert torch.equal(following, torch.randn(3))


def test_finished_cells_are_not_run_again_and_damaged_ones_are(tiny_suite: Path, tmp_path: Path):
    results = finished(tiny_suite, tmp_path / "results")
    expected = comparable(results)
    damaged, *others = sorted(results.glob("records/*.json"))
    before = [path.stat().st_mtime_ns for path in others]
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.warns(RuntimeWarning, match=damaged.name):
        package.run(tiny_suite, results=results)
    assert comparable(results) == expected
    assert [path.stat().st_mtime_ns for path in others] == before


def test_steps_are_timed_in_every_epoch_beside_softmax(tiny_suite: Path, tmp_path: Path):
    folder = ResultsFolder(finished(tiny_suite, tmp_path / "results"))
    for key in folder.list_keys():
        timing = folder.read_record(key).timing
        assert timing is not None
        assert len(timing.step_seconds) == len(timing.softmax_step_seconds) == 3
        assert min(timing.step_seconds + timing.softmax_step_seconds) > 0
        assert timing.training_seconds > sum(timing.step_seconds)


def test_commit_is_that_of_lapbench_not_of_the_users_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *author, "commit", "-qm", "x", "--allow-empty"], check=True)
    head = ["git", "rev-parse", "HEAD"]
    theirs = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    assert provenance("cpu").commit.removesuffix("+") != theirs


def test_backbones_of_one_repetition_start_equal_under_every_method(tiny_suite: Path):
    plan = prepare(tiny_suite, RunOptions()).plan
    starts = []
    for planned in plan.cells[:2]:
        task = planned.cell.load_task()
        model = planned.cell.build_model(task)
        starts.append(list(model.backbone.parameters()))
    assert plan.cells[0].cell.method != plan.cells[1].cell.method
    assert all(torch.equal(a, b) for a, b in zip(*starts, strict=True))


@pytest.mark.parametrize("what", ["write_weights", "write_arrays"])
def test_record_is_written_last(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    """A cell whose weights or arrays could not be written is not finished."""
    tiny_suite.write_text(tiny_suite.read_text() + "[evaluation]\nsnapshot_epochs = [0]\n")

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(ResultsFolder, what, full_disk)
    with refused(OSError, "no space left"):
        package.run(tiny_suite, results=tmp_path / "results")
    assert ResultsFolder(tmp_path / "results").list_keys() == []


def test_interrupted_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    folder = ResultsFolder(tmp_path)
    folder.write_weights("key", {"a": torch.ones(3)})
    with pytest.raises((AttributeError, PicklingError)):
        folder.write_weights("key", {"a": torch.zeros(9), "bad": lambda: None})
    assert folder.read_weights("key")["a"].tolist() == [1, 1, 1]
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["key.pt"]


def test_integers_depend_on_their_name_alone():
    names = [("digits", 0, "torch", 1), ("digits", 0, "torch", 2), ("digits", 1, "torch", 1)]
    names += [("two_moons", 0, "torch", 1), ("digits", 0, "head", 1)]
    result = [Seeds(data, r).integer(purpose, epoch) for data, r, purpose, epoch in names]
    assert len(set(result)) == 5
    assert result == [Seeds(data, r).integer(purpose, epoch) for data, r, purpose, epoch in names]


def test_streams_depend_on_their_name_alone():
    """The first numbers are fixed here: a change would make old records incomparable."""
    stream = Seeds("digits", 0).stream("order", 3)
    assert stream.integers(1000, size=3).tolist() == EXPECTED
    others = [
        Seeds("digits", 1).stream("order", 3),
        Seeds("two_moons", 0).stream("order", 3),
        Seeds("digits", 0).stream("base", 3),
        Seeds("digits", 0).stream("order", 4),
    ]
    assert all(other.integers(1000, size=3).tolist() != EXPECTED for other in others)


def test_commit_is_that_of_the_checkout_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Read from the checkout, wherever the command is given."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    path = ROOT / "bench" / "results" / "provenance.py"
    spec = importlib.util.spec_from_file_location("provenance_of_checkout", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}\+?", module.commit())
