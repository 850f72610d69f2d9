"""Runs of the command, of methods that fail, and on a cluster on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import plugin_faulty
import psutil
import pytest
from click.testing import CliRunner, Result
from make_distribution import make_distribution
from make_suites import suite
from plugin_faulty import PATIENCE, Faulty

from lapbench.cli.main import main
from lapbench.results import checkpoint
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record

COMMAND = [sys.executable, "-P", str(Path(__file__).with_name("without_figures.py"))]
"""The command `lapbench`, whose reports have no figures."""


def lapbench(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def comparable(folder: Path) -> dict[str, dict[str, Any]]:
    """All records of a results folder, without what may differ between equal runs."""
    records = {}
    for path in (folder / "records").glob("[!.]*.json"):
        record = json.loads(path.read_text())
        del record["timing"], record["provenance"]
        records[path.stem] = record
    return records


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install the methods for this process and all that it starts; their log is in the folder."""
    names = [kind.__name__ for kind in Faulty.__subclasses__()]
    kinds = {"methods": {name.lower(): name for name in names}}
    make_distribution(folder / "site", patch, "plugin_faulty", kinds)
    patch.setenv("PYTHONPATH", f"{folder / 'site'}:{Path(plugin_faulty.__file__).parent}")
    patch.setenv("FAULTY_FOLDER", str(folder))
    patch.setattr(checkpoint, "SECONDS", checkpoint.SECONDS)


def run(folder: Path, *methods: str, **options: object) -> Result:
    """Run the command on four epochs of methods, in this process."""
    ran = CliRunner().invoke(main, _arguments(folder, *methods, **options))
    assert ran.exception is None or isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert "Traceback" not in ran.output
    return ran


@contextmanager
def started(folder: Path, *methods: str, **options: object) -> Iterator["subprocess.Popen[str]"]:
    """Start the same command in a process group of its own, and kill the group at the end."""
    with subprocess.Popen(
        [*COMMAND, *_arguments(folder, *methods, **options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A background job ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _arguments(folder: Path, *methods: str, **options: object) -> list[str]:
    path = suite(folder, list(methods))
    options = {"results": folder / "results"} | options
    return ["run", str(path), *(f"--{name}={value}" for name, value in options.items())]


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so; fail if it takes too long."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not after {PATIENCE:g} s")
        time.sleep(0.02)


def alive(group: int) -> list[psutil.Process]:
    """Processes of a group that run."""
    result = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                result.append(process)
    return result


def epochs(folder: Path, method: str) -> int:
    """Epochs of a method in the log."""
    log = folder / "log"
    return log.read_text().split().count(method) if log.is_file() else 0


def records(results: Path) -> dict[str, Record]:
    """All records of a folder by their method."""
    folder = ResultsFolder(results)
    result = map(folder.read_record, folder.list_keys())
    return {record.cell.method.name: record for record in result}


class Cluster:
    """A scheduler and two workers on loopback, which share a folder with this process."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        file = folder / "scheduler.json"
        about = ["--no-dashboard", "--scheduler-file", str(file)]
        here = ["--host", "127.0.0.1"]
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--idle-timeout", "300", *here, *about
        )
        for _ in range(2):
            self._start("worker", "--nthreads", "1", "--no-nanny", *here, *about)
        wait_for(lambda: file.is_file() and file.read_text().endswith("}"), "the scheduler")
        self.address = json.loads(file.read_text())["address"]

    def _start(self, what: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments],
                cwd=self.folder,
                stderr=log,
                start_new_session=True,
            )
        self._stack.callback(_kill, process)
        return process


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not alive(process.pid), "end of a process of the cluster")
