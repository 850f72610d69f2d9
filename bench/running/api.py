"""Running a suite from Python: what the command `lapbench run` does."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from lapbench.reporting.report import write_report
from lapbench.reports.report import Report
from lapbench.results.folder import DamagedRecordError, ResultsFolder
from lapbench.running.backends import Backend, run_cells
from lapbench.running.progress import Progress
from lapbench.running.transfer_models import check_sources
from lapbench.running.worker import Limits
from lapbench.suite.cells import Precision
from lapbench.suite.plan import Plan, PlannedCell
from lapbench.suite.planning import make_plan, select
from lapbench.suite.suite import load_suite
from lapbench.suite.transfer_sources import with_sources


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What of a suite is run, how, and where.

    Attributes:
        results: folder to write to, by default ``results/<suite>``, and with a scale
            ``results/<suite>-scale-<scale>``.
        methods: run only these; the report still shows the whole plan.
        datasets: run only these; likewise.
        training: run only ``"natural"`` or ``"pgd"``; likewise.
        seeds: number of repetitions instead of the suite's; the report is on these.
        scale: share of the suite's epochs, training data, attacked samples and repetitions, above 0
            up to 1; every table names it.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:0"``, …
        precision: training precision; ``"mixed"`` runs backbones in bfloat16 and graphs in
            ``"float32"``.
        retry: whether cells that failed before are run again.
        jobs: cells at a time, each in a process of its own; 0 runs them in this process, for a
            debugger. None is the environment variable ``LAPBENCH_JOBS``, and without it 1; with an
            executor all that it can take. The results are the same.
        executor: address of a dask.distributed scheduler, whose workers run the cells; they see
            the results folder and the data under the same paths.
        timeout: seconds after which a cell is stopped and stored as failed.
        memory: bytes that the process of a cell may allocate, on Linux.

    """

    results: str | Path | None = None
    methods: str | Sequence[str] = ()
    datasets: str | Sequence[str] = ()
    training: str | Sequence[str] = ()
    seeds: int | None = None
    scale: float = 1.0
    device: str = "cpu"
    precision: Precision = "float32"
    retry: bool = True
    jobs: int | None = None
    executor: str = ""
    timeout: float | None = None
    memory: int | None = None

    def backend(self) -> Backend:
        """Where cells run.

        Raises:
            BackendError: if the options contradict each other, or are not available here.

        """
        return Backend(self.jobs, self.executor, Limits(self.timeout, self.memory))


@dataclass(frozen=True)
class PreparedRun:
    """A plan, the folder of its results, and the cells to run now.

    Attributes:
        plan: all cells of the suite.
        folder: where records go.
        selected: the cells that were asked for, and before them those that their attacks need.
        missing: those of them that have no final record yet.

    """

    plan: Plan
    folder: ResultsFolder
    selected: list[PlannedCell]
    missing: list[PlannedCell]

    def run(self, console: Console, backend: Backend) -> Report:
        """Run the missing cells, and report on the whole plan."""
        try:
            self.folder.write_plan(self.plan)
            with Progress(console, len(self.missing)) as progress:
                run_cells(self.missing, self.folder, progress, backend)
        except OSError as error:
            raise OSError(
                f"{error}; finished cells are kept. Give {self.folder.path} space and the right to "
                "write, then repeat the command"
            ) from error
        return write_report(self.folder.path)

    def failed(self) -> list[PlannedCell]:
        """The selected cells whose record says that they, or an attack on them, failed."""
        records = {cell.key: self.folder.read_record(cell.key) for cell in self.selected}
        return [cell for cell in self.selected if not records[cell.key].is_final]


def prepare(suite: str | Path, options: RunOptions) -> PreparedRun:
    """What :func:`run` would do; errors are the same."""
    chosen = load_suite(suite).scaled(options.scale)
    if options.seeds is not None:
        chosen = chosen.with_seeds(options.seeds)
    plan = make_plan(chosen, options.device, options.precision)
    selected = select(plan, options.methods, options.datasets, options.training)
    name = chosen.name if options.scale == 1 else f"{chosen.name}-scale-{options.scale}"
    folder = ResultsFolder(options.results or Path("results", name))
    if any(planned.cell.sources for planned in selected):
        selected = with_sources(selected, plan)
        check_sources(selected, plan, folder)
    return PreparedRun(plan, folder, selected, pending(selected, folder, options.retry))


def run(suite: str | Path, **options: Any) -> Report:
    """Run the cells of a suite that have no result yet, and report on the whole suite.

    A cell that raises becomes a failed record and does not stop the others. What is finished is on
    disk at once, so a stopped run continues where it was. Progress is shown on standard error if
    that is a terminal.

    Args:
        suite: name of a suite, or path of a TOML file.
        options: those of :class:`RunOptions`, by name.

    Raises:
        LapbenchError: if the suite has mistakes, or a name or device is not there.
        OSError: if results cannot be written.
        TypeError: if there is no such option.

    """
    chosen = RunOptions(**options)
    backend = chosen.backend()
    return prepare(suite, chosen).run(Console(stderr=True), backend)


def pending(cells: list[PlannedCell], folder: ResultsFolder, retry: bool) -> list[PlannedCell]:
    """The cells that have no final record yet, in their order.

    Warns:
        RuntimeWarning: if a record is damaged, and its cell therefore among them.

    """
    return [cell for cell in cells if not _is_finished(cell.key, folder, retry)]


def _is_finished(key: str, folder: ResultsFolder, retry: bool) -> bool:
    if not folder.record_path(key).is_file():
        return False
    try:
        return folder.read_record(key).is_final or not retry
    except DamagedRecordError as error:
        warnings.warn(f"{error}; its cell runs again now", RuntimeWarning, stacklevel=2)
        return False
