"""Whatever happens to a run, it says what happened, keeps what is finished, and can go on."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from make_cells import small_cell
from make_runs import alive, comparable, epochs, install, records, run, started, wait_for

from lapbench.cli.errors import INTERRUPTED
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import failed_record
from lapbench.suite.plan import PlannedCell


@pytest.fixture(autouse=True)
def _faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


def contents(results: Path) -> dict[str, bytes]:
    """What is finished, byte by byte."""
    paths = (
        path for kind in ("records", "weights", "arrays") for path in results.glob(f"{kind}/*")
    )
    return {str(path): path.read_bytes() for path in paths}


def statuses(results: Path) -> dict[str, str]:
    return {method: record.status for method, record in records(results).items()}


def complete(folder: Path, *methods: str, jobs: int = 0) -> None:
    """A second run keeps what is finished, runs the rest, and leaves nothing behind."""
    results = folder / "results"
    kept = {path: path.read_bytes() for path in results.glob("records/*.json")}
    kept = {path: text for path, text in kept.items() if b'"status": "ok"' in text}
    (folder / "mended").touch()
    ran = run(folder, *methods, jobs=jobs)
    assert ran.exit_code == 0, ran.output
    assert statuses(results) == dict.fromkeys(methods, "ok")
    assert all(path.read_bytes() == text for path, text in kept.items())
    patterns = ("**/*.part", "running/*", "checkpoints/*")
    assert not [path for pattern in patterns for path in results.glob(pattern)]
    undisturbed = [reference(method) for method in methods]
    assert comparable(results) == {key: text for one in undisturbed for key, text in one.items()}


@cache
def reference(method: str) -> dict[str, dict[str, object]]:
    """Records of a method in this process, which nothing disturbs."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        (folder / "mended").touch()
        patch.setenv("FAULTY_FOLDER", name)
        run(folder, method, jobs=0)
        return comparable(folder / "results")


class TestKilledDriver:
    METHODS = ("softmax", "halting", "gll")

    def test_its_workers_end_and_the_next_run_goes_on_in_the_midst_of_a_training(
        self, tmp_path: Path
    ):
        results = tmp_path / "results"
        with started(tmp_path, *self.METHODS, jobs=1) as driver:
            wait_for(lambda: epochs(tmp_path, "halting") == 2 or driver.poll(), "second epoch")
            assert statuses(results) == {"softmax": "ok"}
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            wait_for(lambda: not alive(driver.pid), "end of the worker")
        assert epochs(tmp_path, "halting") == 2
        complete(tmp_path, *self.METHODS, jobs=1)
        assert epochs(tmp_path, "halting") == 2 + 3  # from the second on
        assert not any(record.warnings for record in records(results).values())

    def test_ctrl_c_leaves_no_process_and_says_that_the_same_command_continues(
        self, tmp_path: Path
    ):
        with started(tmp_path, *self.METHODS, jobs=2) as driver:
            wait_for(lambda: epochs(tmp_path, "halting") == 2 or driver.poll(), "second epoch")
            wait_for(lambda: len(records(tmp_path / "results")) == 2, "the other two cells")
            before = contents(tmp_path / "results")
            os.killpg(driver.pid, signal.SIGINT)
            _, errors = driver.communicate()
            assert driver.returncode == INTERRUPTED
            assert errors == "Stopped. What is finished is kept; the same command continues.\n"
            wait_for(lambda: not alive(driver.pid), "end of the workers")
        assert contents(tmp_path / "results") == before
        complete(tmp_path, *self.METHODS)


def test_cells_beyond_their_limits_fail_and_the_others_finish(tmp_path: Path):
    """The first hangs in C, where no other thread of Python runs and no signal is handled."""
    methods = ("stuck", "softmax", "greedy")
    ran = run(tmp_path, *methods, jobs=2, timeout="15s", memory="1.5GB")
    assert ran.exit_code == 1
    assert "2 of 3 cells failed" in ran.output
    results = records(tmp_path / "results")
    assert {name: record.status for name, record in results.items()} == {
        "stuck": "failed",
        "softmax": "ok",
        "greedy": "failed",
    }
    for name, texts in {
        "stuck": ("timeout: ", "15 s", "--timeout"),
        "greedy": ("memory limit", "1.5 GB", "--memory"),
    }.items():
        reason = str(results[name].reason)
        assert all(text in reason for text in texts)
        assert reason in ran.output
    assert epochs(tmp_path, "stuck") == 1
    complete(tmp_path, *methods)


def test_two_runs_in_one_folder_run_each_cell_once_and_both_report(tmp_path: Path):
    methods = ("halting", "softmax", "mending")
    with started(tmp_path, *methods, jobs=1) as other:
        wait_for(lambda: epochs(tmp_path, "halting") == 2 or other.poll(), "second epoch")
        ran = run(tmp_path, *methods)
        printed, errors = other.communicate()
    assert (ran.exit_code, other.returncode, errors) == (0, 0, "")
    assert epochs(tmp_path, "halting") == epochs(tmp_path, "mending") == 4
    for report in (ran.output, printed):
        assert "Cells without a result" not in report
        assert report.count("1/1") == 3
    complete(tmp_path, *methods)


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory; where that is not allowed, the test is skipped."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs to mount a file system, as root on Linux can: {error}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


class TestDisk:
    METHODS = ("softmax", "filling", "gll")

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        """A file system of 16 MB."""
        path = tmp_path / "disk"
        path.mkdir()
        with mounted(path, "size=16m"):
            yield path

    def test_run_on_a_disk_that_fills_ends_with_a_message(self, tmp_path: Path, disk: Path):
        results = tmp_path / "results"
        (disk / "results").mkdir()
        results.symlink_to(disk / "results")
        ran = run(tmp_path, *self.METHODS, jobs=1)
        assert ran.exit_code == 1
        assert "No space left on device" in ran.output
        assert f"Give {results} space" in ran.output
        assert statuses(results) == {"softmax": "ok"}
        assert not [*results.rglob("*.part")]
        (disk / "filler").unlink()
        complete(tmp_path, *self.METHODS)

    def test_no_file_is_written_in_part(self, disk: Path):
        folder = ResultsFolder(disk)
        state, arrays = {"weight": torch.zeros(20_000)}, {"x": np.zeros(20_000)}
        for free in range(0, 200_000, 20_000):
            filler = disk / "filler"
            space = os.statvfs(disk)
            filler.write_bytes(bytes(space.f_bavail * space.f_frsize - free))
            for write, content in ((folder.write_weights, state), (folder.write_arrays, arrays)):
                fits = True
                try:
                    write("a", content)  # type: ignore[operator]
                except OSError:
                    fits = False
                files = list(disk.glob("*/*"))
                assert len(files) == fits
                for path in files:
                    path.unlink()
            filler.unlink()


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process may be killed at any time."""
    folder, suffixes = ResultsFolder(tmp_path / "results"), list[str]()
    record = failed_record(PlannedCell("a", "autograd", small_cell("softmax")), "no luck")

    def look(_: int) -> None:
        suffixes.extend(path.suffix for path in folder.path.glob("*/*"))

    monkeypatch.setattr(os, "fsync", look)
    folder.write_record(record)
    assert suffixes == [".part"]
    folder.write_weights("a", {"weight": torch.zeros(2)})
    assert sorted(suffixes) == [".json", ".part", ".part"]


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written; root can where rights alone forbid it."""
    path = tmp_path / "unwritable"
    path.mkdir()
    if os.geteuid():
        path.chmod(0o500)
        yield path
        path.chmod(0o700)
    else:
        with mounted(path, "ro"):
            yield path


def test_folder_that_cannot_be_written_is_named_before_anything_runs(
    tmp_path: Path, unwritable: Path
):
    results = unwritable / "results"
    ran = run(tmp_path, "halting", jobs=1, results=results)
    assert ran.exit_code == 1
    assert f": '{results}'; " in ran.output
    assert f"Give {results} space" in ran.output
    assert epochs(tmp_path, "halting") == 0
