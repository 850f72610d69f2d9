"""Runs one cell, and turns every outcome into a record."""

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from threadpoolctl import threadpool_limits

from lapbench.errors import NotApplicableError
from lapbench.methods.graph import NonFiniteError
from lapbench.results.checkpoint import Checkpoints
from lapbench.results.claims import claim
from lapbench.results.folder import ResultsFolder
from lapbench.results.provenance import provenance
from lapbench.results.records import Record
from lapbench.running.cell_steps import Outcome, run_steps
from lapbench.suite.cells import Cell
from lapbench.suite.plan import SCHEMA, PlannedCell
from lapbench.training.events import SILENT, Events
from lapbench.training.steps import DivergedError


def run_cell(planned: PlannedCell, folder: ResultsFolder, events: Events = SILENT) -> Record | None:
    """Run a cell and store its record; None if another process has the cell.

    The record is written after weights and arrays. If another process finished the cell meanwhile,
    its record counts.
    """
    with claim(folder, planned.key) as is_ours:
        if not is_ours:
            return None
        if record := folder.find_final(planned.key):
            return record
        outcome = try_cell(planned, folder, events)
        if outcome.state is not None:
            folder.write_weights(planned.key, outcome.state)
        if outcome.arrays:
            folder.write_arrays(planned.key, outcome.arrays)
        folder.write_record(outcome.record)
        if outcome.record.is_final:
            Checkpoints(folder, planned.key, planned.cell).delete()
        return outcome.record


def failed_record(planned: PlannedCell, reason: str) -> Record:
    """The record of a cell that failed, without results."""
    return Record(
        schema=SCHEMA,
        key=planned.key,
        cell=planned.cell,
        gradient=planned.gradient,
        status="failed",
        reason=reason,
        curves={"training_loss": []},
        provenance=provenance(planned.cell.device),
    )


def store_failure(planned: PlannedCell, folder: ResultsFolder, reason: str) -> Record:
    """Store that a cell failed, unless its record is final by now; return the stored record."""
    record = folder.find_final(planned.key)
    if record is None:
        record = failed_record(planned, reason)
        folder.write_record(record)
    return record


def try_cell(planned: PlannedCell, folder: ResultsFolder, events: Events = SILENT) -> Outcome:
    """Run a cell; every exception but KeyboardInterrupt becomes a failed record.

    Checkpoints, pretrained backbones and the models of transfer sources are in the folder.
    """
    checkpoints = Checkpoints(folder, planned.key, planned.cell)
    record = replace(failed_record(planned, ""), reason=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with reproducible(planned.cell):
                outcome = run_steps(planned.cell, record, folder, checkpoints, caught, events)
        except NotApplicableError as error:
            outcome = Outcome(replace(record, status="skipped", reason=str(error)))
        except (DivergedError, NonFiniteError) as error:
            outcome = Outcome(replace(record, status="diverged", reason=str(error)))
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}{_memory_limit(error)}"
            lines = traceback.format_exc()
            outcome = Outcome(replace(record, status="failed", reason=reason, traceback=lines))
    distinct = list(dict.fromkeys(str(warning.message) for warning in caught))
    return replace(outcome, record=replace(outcome.record, warnings=distinct))


def _memory_limit(error: BaseException) -> str:
    """The memory limit of this process, if an error is due to it."""
    lacks_memory = isinstance(error, MemoryError) or any(part in str(error) for part in _NO_MEMORY)
    if not lacks_memory or sys.platform != "linux":
        return ""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return ""
    return f" (the memory limit of a cell is {limit / 1e9:.3g} GB; give it more with --memory)"


_NO_MEMORY = ("allocate memory", "Failed to allocate", "can't start new thread")
"""Texts of torch and Python when CPU memory runs out."""


@contextmanager
def reproducible(cell: Cell) -> Iterator[None]:
    """Set threads and deterministic algorithms for a cell; restore them and torch's generator."""
    if cell.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    rounding = torch.backends.cudnn.allow_tf32
    torch.set_num_threads(cell.threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False  # else convolutions on a GPU round to 10 bits
    try:
        with torch.random.fork_rng(), threadpool_limits(cell.threads):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = rounding
        torch.use_deterministic_algorithms(deterministic)
