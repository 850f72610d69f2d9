"""Running a cell in a process of its own, which may die, hang or grow and harm no other."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import process, resource_tracker

from loky import ProcessPoolExecutor

from lapbench.results.claims import file_events
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.running.cell import run_cell, store_failure
from lapbench.suite.plan import PlannedCell

_LOOK_FOR_PARENT = 1.0

_pools: dict[int, ProcessPoolExecutor] = {}
"""The process of each thread that runs cells."""


class ProcessDiedError(Exception):
    """The process of a cell ended before its record was there."""


@dataclass(frozen=True)
class Limits:
    """What a cell may take: seconds, and bytes of memory of its process; None is no limit."""

    seconds: float | None = None
    memory: int | None = None


def run_in_process(planned: PlannedCell, folder: ResultsFolder, limits: Limits) -> Record | None:
    """Run a cell in the process that belongs to this thread, and return its record.

    A cell that takes more than its seconds is killed and stored as failed. None if another process
    runs the cell already.

    Raises:
        ProcessDiedError: if the process died.
        OSError: if results cannot be written.

    """
    try:
        future = _pool().submit(_run_limited, planned, folder, limits.memory)
        wait([future], limits.seconds)
        if future.done():
            record: Record | None = future.result()
            return record
    except BrokenExecutor as error:
        stop_process()
        raise ProcessDiedError(str(error)) from error
    stop_process()
    return store_failure(
        planned,
        folder,
        f"timeout: it took more than {limits.seconds:g} s and was stopped; the next run continues "
        "from its last checkpoint; give it more with --timeout",
    )


def stop_process() -> None:
    """Kill the process of this thread, if it has one."""
    if pool := _pools.pop(threading.get_ident(), None):
        pool.shutdown(kill_workers=True)


def stop_all() -> None:
    """Kill the processes of all threads; what they were running raises ``ProcessDiedError``."""
    while _pools:
        _, pool = _pools.popitem()
        pool.shutdown(kill_workers=True)


def _pool() -> ProcessPoolExecutor:
    """The process of this thread, with lapbench loaded."""
    if threading.get_ident() not in _pools:
        _block_interrupts()
        # Workers of dask are daemons, which may have no children; these die with their parent.
        process.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        pool = ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),))
        _pools[threading.get_ident()] = pool
        pool.submit(int).result()
    return _pools[threading.get_ident()]


def _block_interrupts() -> None:
    """Keep Ctrl-C from this thread, and so from what it starts, already while that starts."""
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # else loky does it later, and it lifts the block
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _begin(parent: int) -> None:
    """Leave Ctrl-C to the process that the user started, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_FOR_PARENT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_limited(planned: PlannedCell, folder: ResultsFolder, memory: int | None) -> Record | None:
    with _at_most(memory):
        return run_cell(planned, folder, file_events(folder, planned.key))


@contextmanager
def _at_most(memory: int | None) -> Iterator[None]:
    """Let allocations fail that would bring this process above so many bytes."""
    if memory is None:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory if before[1] == resource.RLIM_INFINITY else min(memory, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
