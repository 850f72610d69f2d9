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
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.running.cell import run_cell
from lapbench.running.progress import Progress
from lapbench.running.schedule import Slots, Submit, run_scheduled
from lapbench.running.worker import Limits, run_in_process, stop_all
from lapbench.suite.plan import PlannedCell
from lapbench.training.events import events_in_words


class BackendError(LapbenchError):
    """The processes, limits or cluster of a run are not available; the message says why."""


@dataclass(frozen=True)
class Backend:
    """How the cells of a run are spread; results are the same however it is done.

    Args:
        jobs, executor: as in :class:`lapbench.running.api.RunOptions`.
        limits: of each cell.

    Raises:
        BackendError: if these contradict each other, or are not available here.

    """

    jobs: int | None = None
    executor: str = ""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        limited = self.limits != Limits()
        if self.jobs is not None and self.jobs < 0:
            raise BackendError(f"jobs: received {self.jobs}; must be 0 or more")
        if self.cells_at_a_time() == 0 and (limited or self.executor):
            raise BackendError(
                "jobs: received 0, which runs cells in this process; must be 1 or more with a "
                "timeout, a memory limit or an executor"
            )
        for name, limit in (("timeout", self.limits.seconds), ("memory", self.limits.memory)):
            if limit is not None and limit <= 0:
                raise BackendError(f"{name}: received {limit:g}; must be above 0")
        if self.limits.memory and not self.executor and sys.platform != "linux":
            raise BackendError(
                f"memory: received {self.limits.memory} on {sys.platform}; must be left out "
                "there, as only Linux enforces it"
            )

    def cells_at_a_time(self) -> int:
        """The number of cells at a time on this machine."""
        if self.jobs is not None:
            return self.jobs
        given = os.environ.get("LAPBENCH_JOBS") or "1"
        if not given.isdigit():
            raise BackendError(f"LAPBENCH_JOBS: received {given!r}; must be a whole number")
        return int(given)


def run_cells(
    cells: Sequence[PlannedCell], folder: ResultsFolder, progress: Progress, backend: Backend
) -> None:
    """Run cells in their order, storing each as soon as it is finished.

    Raises:
        BackendError: if a cluster cannot be reached or used, or is lost.
        OSError: if results cannot be written.

    """
    if not cells:
        return
    with _executor(backend, folder, progress) as (submit, slots):
        run_scheduled(cells, folder, progress, submit, slots)


@contextmanager
def _executor(
    backend: Backend, folder: ResultsFolder, progress: Progress
) -> Iterator[tuple[Submit, Slots]]:
    limits = backend.limits
    if backend.executor:
        from lapbench.running.cluster import connect

        with connect(backend.executor, folder, limits) as (submit, slots):
            most = backend.jobs
            yield submit, slots if most is None else lambda: min(most, slots())
    elif jobs := backend.cells_at_a_time():
        with ThreadPoolExecutor(jobs) as threads, warnings.catch_warnings():
            # loky takes the caches of a large cell for a leak, and starts a new process after it.
            warnings.filterwarnings("ignore", "A worker was restarted", UserWarning)
            try:
                yield lambda p: threads.submit(run_in_process, p, folder, limits), lambda: jobs
            finally:
                stop_all()
    else:
        yield partial(_run_here, folder, progress), lambda: 1


def _run_here(
    folder: ResultsFolder, progress: Progress, planned: PlannedCell
) -> "Future[Record | None]":
    future: Future[Record | None] = Future()
    events = events_in_words(partial(progress.tell, planned.key))
    future.set_result(run_cell(planned, folder, events))
    return future
