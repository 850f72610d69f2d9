"""Where cells run: on local processes, on a cluster, or in this process."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from lapbench.errors import LapbenchError
from lapbench.execute import run_cell
from lapbench.isolated import Limits, run_isolated, stop_all
from lapbench.progress import Progress
from lapbench.records import PlannedCell, Record, ResultsFolder
from lapbench.schedule import Slots, Submit, run_scheduled
from lapbench.watch import watch_with


class ExecutionError(LapbenchError):
    """A run asks for processes, limits or a cluster that cannot be had; the message says why."""


@dataclass(frozen=True)
class Execution:
    """How the cells of a run are spread; results are the same however it is done.

    Args:
        jobs: cells at a time, each in a process of its own, so that one which dies takes nothing
            else along; 0 runs them in this process, for a debugger. None is the environment
            variable ``LAPBENCH_JOBS``, and without it 1; on a cluster all that it can take.
        executor: address of a dask.distributed scheduler, ``tcp://host:8786``; empty is this
            machine.
        limits: of each cell.

    Raises:
        ExecutionError: if these contradict each other or cannot be had here.

    """

    jobs: int | None = None
    executor: str = ""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        limited = self.limits != Limits()
        if self.jobs is not None and self.jobs < 0:
            raise ExecutionError(f"jobs: received {self.jobs}; accepted is 0 or more")
        if self.cells_at_a_time() == 0 and (limited or self.executor):
            raise ExecutionError(
                "jobs: received 0, which runs cells in this process; a timeout, a memory limit or "
                "an executor needs processes of their own: give 1 or more"
            )
        for name, limit in (("timeout", self.limits.seconds), ("memory", self.limits.memory)):
            if limit is not None and limit <= 0:
                raise ExecutionError(f"{name}: received {limit:g}; accepted is a number above 0")
        if self.limits.memory and not self.executor and sys.platform != "linux":
            raise ExecutionError(
                f"memory: received a limit on {sys.platform}; only Linux holds a process to one: "
                "leave it out, or run there"
            )

    def cells_at_a_time(self) -> int:
        """Return the number of cells at a time on this machine."""
        if self.jobs is not None:
            return self.jobs
        given = os.environ.get("LAPBENCH_JOBS") or "1"
        if not given.isdigit():
            raise ExecutionError(f"LAPBENCH_JOBS: received {given!r}; accepted is a whole number")
        return int(given)


def run_cells(
    cells: Sequence[PlannedCell],
    folder: ResultsFolder,
    progress: Progress,
    execution: Execution | None = None,
) -> None:
    """Run cells in their order, storing each as soon as it is finished.

    Raises:
        ExecutionError: if a cluster cannot be reached or used, or is lost.
        OSError: if results cannot be written.

    """
    execution = execution or Execution()
    if not cells:
        return
    with _executor(execution, folder, progress) as (submit, slots):
        run_scheduled(cells, folder, progress, submit, slots)


@contextmanager
def _executor(
    execution: Execution, folder: ResultsFolder, progress: Progress
) -> Iterator[tuple[Submit, Slots]]:
    limits = execution.limits
    if execution.executor:
        from lapbench.cluster import connect

        with connect(execution.executor, folder, limits) as (submit, slots):
            most = execution.jobs
            yield submit, slots if most is None else lambda: min(most, slots())
    elif jobs := execution.cells_at_a_time():
        with ThreadPoolExecutor(jobs) as threads, warnings.catch_warnings():
            # loky takes the caches of a large cell for a leak, and starts a new process after it.
            warnings.filterwarnings("ignore", "A worker was restarted", UserWarning)
            try:
                yield lambda p: threads.submit(run_isolated, p, folder, limits), lambda: jobs
            finally:
                stop_all()
    else:
        yield partial(_run_here, folder, progress), lambda: 1


def _run_here(
    folder: ResultsFolder, progress: Progress, planned: PlannedCell
) -> "Future[Record | None]":
    future: Future[Record | None] = Future()
    future.set_result(run_cell(planned, folder, watch_with(partial(progress.tell, planned.key))))
    return future
