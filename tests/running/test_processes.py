"""Cells in processes of their own: the records are the same, and a death takes nothing along."""

import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from expect_refusal import refused
from make_runs import comparable, epochs, install, records, run

from lapbench.running import worker
from lapbench.running.backends import Backend, BackendError
from lapbench.running.worker import Limits

GOOD = ("softmax", "gll", "mortal")


class Ran:
    """A run with two jobs of methods of which two die, and the same without processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result = run(folder, "softmax", "dying", "gll", "leaving", "mortal", jobs=2)
        self.left = psutil.Process().children(recursive=True)
        self.records = records(folder / "results")
        run(folder, *GOOD, jobs=0, results=folder / "here")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("ran")
        install(folder, patch)
        patch.setenv("OMP_NUM_THREADS", "3")
        return Ran(folder)


def test_records_are_those_of_cells_in_one_process(ran: Ran):
    spread, here = (comparable(ran.folder / name) for name in ("results", "here"))
    assert len(here) == len(GOOD)
    assert here.items() <= spread.items()


def test_process_that_dies_three_times_or_exits_is_a_failed_record(ran: Ran):
    assert epochs(ran.folder, "dying") == 3
    assert {ran.records[name].status for name in ("dying", "leaving")} == {"failed"}
    reason = str(ran.records["dying"].reason)
    assert "its process died 3 times" in reason
    assert reason in ran.result.output
    assert ran.records["leaving"].reason == "SystemExit: 3"


def test_the_others_are_finished_and_the_failures_counted(ran: Ran):
    assert {ran.records[name].status for name in GOOD} == {"ok"}
    assert epochs(ran.folder, "mortal") == 1 + 4 + 4  # died after its first
    assert ran.result.exit_code == 1
    assert "2 of 5 cells failed" in ran.result.output


def test_no_process_stays_and_cells_use_one_thread_each(ran: Ran):
    names = [" ".join(process.cmdline()) for process in ran.left if process.is_running()]
    assert not [name for name in names if "LokyProcess" in name]
    threads = {line.split()[1] for line in (ran.folder / "log").read_text().splitlines()}
    assert threads == {"1"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be blocked")
def test_ctrl_c_is_kept_from_a_process_already_while_it_starts(monkeypatch: pytest.MonkeyPatch):
    def start(*_: object, **__: object) -> ThreadPoolExecutor:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return ThreadPoolExecutor(1)

    blocked: list[set[int]] = []
    monkeypatch.setattr(worker, "ProcessPoolExecutor", start)
    monkeypatch.setattr(worker, "_pools", {})
    with ThreadPoolExecutor(1) as thread:
        thread.submit(worker._pool).result().shutdown()
    assert [signal.SIGINT in signals for signals in blocked] == [True]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"jobs": -1}, ["jobs: received -1"]),
        ({"jobs": 0, "limits": Limits(seconds=1)}, ["jobs: received 0", "timeout"]),
        ({"jobs": 0, "executor": "tcp://127.0.0.1:8786"}, ["jobs: received 0", "executor"]),
        ({"jobs": 1, "limits": Limits(seconds=0)}, ["timeout: received 0"]),
        ({"jobs": 1, "limits": Limits(memory=0)}, ["memory: received 0"]),
    ],
)
def test_contradictions_are_refused(arguments: Mapping[str, object], named: list[str]):
    with refused(BackendError, *named):
        Backend(**arguments)  # type: ignore[arg-type]


def test_memory_limit_is_refused_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with refused(BackendError, "memory: received ", "darwin", "Linux"):
        Backend(1, limits=Limits(memory=10**9))


def test_number_of_jobs_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAPBENCH_JOBS", "3")
    assert Backend().cells_at_a_time() == 3
    assert Backend(jobs=2).cells_at_a_time() == 2
    monkeypatch.setenv("LAPBENCH_JOBS", "")
    assert Backend().cells_at_a_time() == 1
    monkeypatch.setenv("LAPBENCH_JOBS", "many")
    with refused(BackendError, "LAPBENCH_JOBS: received 'many'"):
        Backend()


@pytest.mark.parametrize(
    ("option", "units"),
    [("timeout=5", "s, m, h"), ("timeout=0s", "s, m, h"), ("memory=1GiB", "MB, GB")],
)
def test_limits_without_a_known_unit_are_refused(tmp_path: Path, option: str, units: str):
    name, _, value = option.partition("=")
    ran = run(tmp_path, "softmax", **{name: value})
    assert ran.exit_code == 2
    assert f"received '{value}'" in ran.output
    assert units in ran.output
