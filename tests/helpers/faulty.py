"""Runs of methods that harm the process, machine or run around them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import faulty_methods
import psutil
import pytest
from click.testing import CliRunner, Result
from composed import suite
from faulty_methods import PATIENCE, Faulty
from make_distribution import make_distribution
from running import COMMAND

from lapbench.cli.main import main
from lapbench.results import checkpoint
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install the methods for this process and all that it starts; their log is in the folder."""
    names = [kind.__name__ for kind in Faulty.__subclasses__()]
    kinds = {"methods": {name.lower(): name for name in names}}
    make_distribution(folder / "site", patch, "faulty_methods", kinds)
    patch.setenv("PYTHONPATH", f"{folder / 'site'}:{Path(faulty_methods.__file__).parent}")
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
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def epochs(folder: Path, method: str) -> int:
    """Epochs of a method in the log."""
    log = folder / "log"
    return log.read_text().split().count(method) if log.is_file() else 0


def records(results: Path) -> dict[str, Record]:
    """All records of a folder by their method."""
    folder = ResultsFolder(results)
    found = map(folder.read_record, folder.list_keys())
    return {record.cell.method.name: record for record in found}
