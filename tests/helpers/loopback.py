"""A dask.distributed cluster on loopback."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from faulty import alive, wait_for


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
