"""Small suites with attacks, run without drawing figures."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from composed import suite
from rich.console import Console

from lapbench.results.records import Record
from lapbench.running.api import PreparedRun, RunOptions, prepare
from lapbench.running.backends import Backend, run_cells
from lapbench.running.progress import Progress

FGSM = '[[robustness.attacks]]\nname = "fgsm"\nepsilons = [0.1, 0.3]\n'
TRANSFER = '[[robustness.attacks]]\nname = "transfer"\nepsilons = [0.1, 0.3]\nsteps = [3]\n'
ATTACKED = f"[robustness]\nepsilon = 0.3\nsamples = 20\n{FGSM}{TRANSFER}"


def attacked(
    folder: Path, methods: Sequence[str] = ("gll", "softmax"), table: str = ATTACKED
) -> Path:
    """A suite of one repetition with a table of attacks."""
    return suite(folder, list(methods), after=table)


def run(path: Path, results: Path, jobs: int = 0, **options: Any) -> PreparedRun:
    """Run what is missing, and write no report."""
    prepared = prepare(path, RunOptions(results=results, **options))
    prepared.folder.write_plan(prepared.plan)
    progress = Progress(Console(file=io.StringIO()), len(prepared.missing))
    run_cells(prepared.missing, prepared.folder, progress, Backend(jobs))
    return prepared


def record_of(prepared: PreparedRun, method: str, repetition: int = 0) -> Record:
    """The record of a method."""
    (found,) = (
        planned.key
        for planned in prepared.plan.cells
        if (planned.cell.method.name, planned.cell.repetition) == (method, repetition)
    )
    return prepared.folder.read_record(found)


def statuses(record: Record) -> dict[str, str]:
    """How each attack on a model ended."""
    return {run.label: run.status for run in record.attacks}
