"""A cell belongs to one process at a time, and a process that dies lets go of it."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from expect_refusal import refused
from make_cells import small_cell

from lapbench.results import claims
from lapbench.results.claims import claim, file_events, read_note
from lapbench.results.folder import ResultsFolder
from lapbench.running import cell
from lapbench.running.cell import failed_record, run_cell
from lapbench.suite.plan import PlannedCell

KEY = "0123456789abcdef"
HOLDER = """
import signal, sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "results")


@pytest.fixture
def planned() -> PlannedCell:
    return PlannedCell(KEY, "autograd", small_cell("softmax"))


def left_behind(folder: ResultsFolder) -> list[str]:
    return sorted(path.name for path in (folder.path / "running").iterdir())


class TestClaim:
    def test_only_one_has_a_name_until_it_lets_go(self, folder: ResultsFolder):
        with claim(folder, "a") as first:
            with claim(folder, "a") as second, claim(folder, "b") as other:
                assert (first, second, other) == (True, False, True)
            with claim(folder, "a") as third:
                assert not third
        with claim(folder, "a") as fourth:
            assert fourth

    def test_nothing_stays_behind_also_after_an_error(self, folder: ResultsFolder):
        def fail() -> None:
            with claim(folder, "a"):
                file_events(folder, "a").attack("fgsm")
                assert left_behind(folder) == ["a.json", "a.lock"]
                raise ValueError("no luck")

        with refused(ValueError, "no luck"):
            fail()
        assert left_behind(folder) == []

    def test_who_does_not_have_it_leaves_the_notes_alone(self, folder: ResultsFolder):
        with claim(folder, "a"):
            file_events(folder, "a").attack("fgsm")
            with claim(folder, "a"):
                pass
            assert read_note(folder, "a") == (None, "attack fgsm")

    def test_a_process_that_is_killed_lets_go(self, folder: ResultsFolder):
        with claim(folder, "a"):
            pass
        lock = folder.path / "running" / "a.lock"
        command = [sys.executable, "-c", HOLDER, str(lock)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == "held\n"
            with claim(folder, "a") as beside:
                assert not beside
            holder.send_signal(signal.SIGKILL)
        assert lock.exists()
        with claim(folder, "a") as afterwards:
            assert afterwards
        assert left_behind(folder) == []


class TestRunCell:
    def test_a_cell_that_another_process_has_is_left_to_it(
        self, folder: ResultsFolder, planned: PlannedCell
    ):
        with claim(folder, KEY):
            assert run_cell(planned, folder) is None
        assert not folder.list_keys()

    def test_what_another_process_finished_meanwhile_is_not_run_again(
        self, folder: ResultsFolder, planned: PlannedCell, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.delattr(cell, "try_cell")
        result = replace(failed_record(planned, "beneath it"), status="skipped")
        folder.write_record(result)
        assert run_cell(planned, folder) == result

    def test_what_failed_there_is_run_again(self, folder: ResultsFolder, planned: PlannedCell):
        folder.write_record(failed_record(planned, "no luck"))
        record = run_cell(planned, folder)
        assert record is not None
        assert record.status == folder.read_record(KEY).status == "ok"

    def test_a_cell_that_leaves_by_sys_exit_failed(
        self, folder: ResultsFolder, planned: PlannedCell, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(cell, "run_steps", lambda *_: sys.exit(3))
        record = run_cell(planned, folder)
        assert record is not None
        assert (record.status, record.reason) == ("failed", "SystemExit: 3")


class TestNotes:
    def test_latest_note_is_read_and_none_comes_too_soon(
        self, folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch
    ):
        now = [0.0]
        monkeypatch.setattr(claims.time, "monotonic", lambda: now[0])
        assert read_note(folder, "a") == (None, "")
        with claim(folder, "a"):
            watch = file_events(folder, "a")
            watch.attack("fgsm")
            now[0] = 0.4
            watch.attack("pgd")
            assert read_note(folder, "a") == (None, "attack fgsm")
            now[0] = 0.5
            watch.pretraining(3, 0.25)
            assert read_note(folder, "a") == (None, "pretraining, epoch 3: loss 0.25")
        assert read_note(folder, "a") == (None, "")

    @pytest.mark.parametrize("text", ["", '[3, "los', "nonsense"])
    def test_half_of_a_note_is_none(self, folder: ResultsFolder, text: str):
        with claim(folder, "a"):
            (folder.path / "running" / "a.json").write_text(text)
            assert read_note(folder, "a") == (None, "")

    def test_note_that_cannot_be_written_stops_nothing(self, folder: ResultsFolder):
        file_events(folder, "a").attack("fgsm")
        assert read_note(folder, "a") == (None, "")
