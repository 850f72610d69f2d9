"""Sending cells to a dask.distributed cluster."""

import logging
import socket
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from lapbench.errors import LapbenchError
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.running.schedule import Slots, Submit
from lapbench.running.worker import Limits, ProcessDiedError, run_in_process
from lapbench.suite.plan import PLAN_FILE, PlannedCell

_PATIENCE = 20.0
"""Seconds in which a scheduler must answer."""


class ClusterError(LapbenchError):
    """A cluster cannot be reached or used, or is lost; the message says what to do."""


@contextmanager
def connect(address: str, folder: ResultsFolder, limits: Limits) -> Iterator[tuple[Submit, Slots]]:
    """Connect to a scheduler; yield a function that submits a cell, and one that counts slots.

    Every thread of a worker runs one cell at a time, in a process of its own. The results folder
    must be the same on all machines. On leaving, cells that run finish there, and are stored.

    Raises:
        ClusterError: if distributed is not installed, or the scheduler does not answer; from
            ``slots`` and futures, if it is lost or a worker does not see the results folder.

    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise ClusterError(
            "executor: needs dask.distributed; install it with pip install 'lapbench[dask]'"
        ) from error
    # One error for the user instead of a traceback of every lost connection.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        get_address_host_port(address)  # A client that refuses an address hangs when it is deleted.
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"executor: received {address!r}; no scheduler answers there ({error}); must be the "
            "address that `dask scheduler` prints, for example tcp://192.168.0.1:8786"
        ) from error
    shared = ResultsFolder(folder.path.resolve())
    lost = ClusterError(
        f"the scheduler at {address} is lost; what is finished is kept: start another one, and the "
        "same command with its address continues"
    )

    began, said = time.monotonic(), list[bool]()

    def submit(planned: PlannedCell) -> "Future[Record | None]":
        future: Future[Record | None] = Future()
        remote = executor.submit(_run_on_worker, planned, shared, limits)
        remote.add_done_callback(partial(_pass_on, future, KilledWorker, lost))
        return future

    def slots() -> int:
        try:
            threads: int = sum(client.nthreads().values())
        except OSError as error:
            raise lost from error
        if not threads and time.monotonic() - began > _PATIENCE and not said:
            said.append(True)
            warnings.warn(
                f"the scheduler at {address} has no worker; the run waits for one: start it with "
                f"`dask worker {address} --nthreads 1`",
                RuntimeWarning,
                stacklevel=2,
            )
        return threads

    with client:
        executor = client.get_executor(pure=False)
        yield submit, slots


def _run_on_worker(planned: PlannedCell, folder: ResultsFolder, limits: Limits) -> Record | None:
    if not (folder.path / PLAN_FILE).is_file():
        raise ClusterError(
            f"results: received {folder.path}; the worker on {socket.gethostname()} does not see "
            "it; must be a folder that all machines share; name one with --results"
        )
    return run_in_process(planned, folder, limits)


def _pass_on(
    future: "Future[Record | None]",
    killed: type[Exception],
    lost: ClusterError,
    remote: "Future[Any]",
) -> None:
    """Copy the outcome of a future of the cluster, with the errors that the schedule knows."""
    if remote.cancelled():
        future.set_exception(lost)
    elif isinstance(error := remote.exception(), killed):
        future.set_exception(ProcessDiedError(str(error)))
    elif error:
        future.set_exception(error)
    else:
        future.set_result(remote.result())
