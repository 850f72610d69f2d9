"""Runs with attacks: sources come first, failures are records, processes change nothing."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from expect_refusal import refused
from make_runs import comparable
from make_suites import ATTACKED, attacked, record_of, run, statuses

from lapbench import discovery
from lapbench.cli.main import main
from lapbench.errors import LapbenchError
from lapbench.running.api import PreparedRun, RunOptions, prepare


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> PreparedRun:
    """A run of both methods in one process."""
    folder = tmp_path_factory.mktemp("finished")
    return run(attacked(folder), folder / "results")


class TestRun:
    def test_records_say_what_came_of_each_attack(self, finished: PreparedRun):
        gll, softmax = (record_of(finished, name) for name in ("gll", "softmax"))
        assert (gll.status, softmax.status) == ("ok", "ok")
        assert statuses(gll) == {"fgsm": "ok", "transfer": "ok"}
        assert statuses(softmax) == {"fgsm": "ok", "transfer": "skipped"}
        assert softmax.attacks[1].reason == "other cells take their transfer attacks from it"
        assert {flag.name for flag in gll.flags} == {flag.name for flag in softmax.flags}
        assert gll.timing is not None
        assert set(gll.timing.attacks) == {"fgsm", "transfer"}
        labels = {metric.attack for metric in gll.metrics}
        assert labels == {"", "none", "fgsm", "transfer", "worst case", "by its own gradient"}
        assert {m.count for m in gll.metrics if m.attack} == {20}

    def test_attacks_leave_the_trained_model_and_its_numbers_as_they_are(
        self, finished: PreparedRun, tmp_path: Path
    ):
        prepared = run(attacked(tmp_path, table=""), tmp_path / "plain")
        for name in ("gll", "softmax"):
            with_attacks, without = record_of(finished, name), record_of(prepared, name)
            plain = [metric for metric in with_attacks.metrics if not metric.attack]
            assert plain == without.metrics
            assert with_attacks.curves == without.curves

    def test_two_runs_agree_bit_for_bit_also_when_interrupted(
        self, finished: PreparedRun, tmp_path: Path
    ):
        path, results = attacked(tmp_path), tmp_path / "again"
        run(path, results, methods="softmax")
        assert len(comparable(results)) == 1
        second = run(path, results)
        assert [p.cell.method.name for p in second.missing] == ["gll"]
        assert comparable(results) == comparable(finished.folder.path)
        assert not run(path, results).missing
        for planned in finished.plan.cells:
            first = finished.folder.read_arrays(planned.key)
            again = second.folder.read_arrays(planned.key)
            assert set(first) == set(again)
            assert all(np.array_equal(first[name], again[name]) for name in first)

    def test_same_samples_are_attacked_under_every_method(self, finished: PreparedRun):
        kept = [finished.folder.read_arrays(planned.key) for planned in finished.plan.cells]
        for name in ("attacked x: none", "attacked labels"):
            assert np.array_equal(kept[0][name], kept[1][name])
        assert not np.array_equal(kept[0]["attacked x: fgsm"], kept[1]["attacked x: fgsm"])


class TestSourceByKey:
    def suite(self, folder: Path, key: str) -> Path:
        return attacked(folder, table=ATTACKED + f'source = "{key}"\n')

    def test_transfer_from_the_key_of_a_record_is_that_from_its_method(
        self, finished: PreparedRun, tmp_path: Path
    ):
        results = tmp_path / "results"
        source = run(attacked(tmp_path), results, methods="softmax")
        key = source.selected[0].key
        prepared = run(self.suite(tmp_path, key), results, methods="gll")
        assert [p.cell.method.name for p in prepared.selected] == ["gll"]
        assert prepared.selected[0].cell.sources == {key: key}
        by_key, by_name = record_of(prepared, "gll"), record_of(finished, "gll")
        assert statuses(by_key) == {"fgsm": "ok", "transfer": "ok"}
        assert by_key.metrics == by_name.metrics

    def test_missing_source_is_refused_before_anything_runs(self, tmp_path: Path):
        with refused(LapbenchError, "0123456789abcdef"):
            prepare(
                self.suite(tmp_path, "0123456789abcdef"), RunOptions(results=tmp_path / "results")
            )


def test_source_that_diverged_leaves_the_attack_out_for_good(tmp_path: Path, plugins: None):  # noqa: ARG001
    path = attacked(tmp_path, ["exploding", "softmax"], ATTACKED + 'source = "exploding"\n')
    prepared = run(path, tmp_path / "results")
    record = record_of(prepared, "softmax")
    assert statuses(record) == {"fgsm": "ok", "transfer": "skipped"}
    assert "diverged: epoch 1: " in str(record.attacks[1].reason)
    assert not prepared.failed()
    assert not prepare(path, RunOptions(results=tmp_path / "results")).missing


def test_failed_source_fails_the_attack_and_the_command(
    tmp_path: Path,
    plugins: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
):
    names = discovery.names
    monkeypatch.setattr(discovery, "names", lambda kind: [] if kind == "figures" else names(kind))
    path = attacked(tmp_path, ["broken", "softmax"], ATTACKED + 'source = "broken"\n')
    results = tmp_path / "results"
    arguments = ["run", str(path), "--results", str(results)]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 1
    assert "2 of 2 cells failed" in ran.output
    record = record_of(prepare(path, RunOptions(results=results)), "softmax")
    assert record.status == "ok"
    reason = str(record.attacks[1].reason)
    assert "'broken'" in reason
    assert "failed, RuntimeError: no such | luck" in reason
    assert f"attack transfer on softmax, 1 cell(s): failed ({reason})" in ran.output
    shown = CliRunner().invoke(main, ["show", record.key, "--results", str(results)])
    assert "attack fgsm: ok (" in shown.output
    assert "attack transfer: failed (" in shown.output
    assert "Traceback" in shown.output
    kept = CliRunner().invoke(main, [*arguments, "--dry-run", "--no-retry"])
    assert "0 of 2 cells would run" in kept.output
    again = CliRunner().invoke(main, [*arguments, "--dry-run"])
    assert "2 of 2 cells would run" in again.output


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> PreparedRun:
    """The same run with two jobs."""
    folder = tmp_path_factory.mktemp("parallel")
    return run(attacked(folder), folder / "results", jobs=2)


def test_records_of_two_processes_are_those_of_one(finished: PreparedRun, parallel: PreparedRun):
    result, expected = (comparable(prepared.folder.path) for prepared in (parallel, finished))
    assert {key: result[key] for key in expected} == expected
