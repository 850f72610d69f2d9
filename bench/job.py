"""Running a suite from Python: what the command `lapbench run` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lapbench.cells import Precision
from lapbench.execution import Execution, run_cells
from lapbench.isolated import Limits
from lapbench.progress import Progress
from lapbench.records import Plan, PlannedCell, ResultsFolder
from lapbench.report import write_report
from lapbench.runner import make_plan, pending, select
from lapbench.sources import check_sources, with_sources
from lapbench.suite import load_suite
from lapbench.summary import Report


@dataclass(frozen=True)
class Job:
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

    def run(self, console: Console, execution: Execution | None = None) -> Report:
        """Run the missing cells, and report on the whole plan."""
        try:
            self.folder.write_plan(self.plan)
            with Progress(console, len(self.missing)) as progress:
                run_cells(self.missing, self.folder, progress, execution)
        except OSError as error:
            raise OSError(
                f"{error}; what is finished is kept: when {self.folder.path} has space and can be "
                "written, the same command continues"
            ) from error
        return write_report(self.folder.path)

    def failed(self) -> list[PlannedCell]:
        """Return the selected cells whose record says that they, or an attack on them, failed."""
        records = {cell.key: self.folder.read_record(cell.key) for cell in self.selected}
        return [cell for cell in self.selected if not records[cell.key].is_final]


def prepare(
    suite: str | Path,
    *,
    results: str | Path | None = None,
    methods: str | Sequence[str] = (),
    datasets: str | Sequence[str] = (),
    training: str | Sequence[str] = (),
    seeds: int | None = None,
    scale: float = 1.0,
    device: str = "cpu",
    precision: Precision = "float32",
    retry: bool = True,
) -> Job:
    """Return what :func:`run` would do; arguments and errors are the same."""
    chosen = load_suite(suite).scaled(scale)
    if seeds is not None:
        chosen = chosen.with_seeds(seeds)
    plan = make_plan(chosen, device, precision)
    selected = with_sources(select(plan, methods, datasets, training), plan)
    name = chosen.name if scale == 1 else f"{chosen.name}-scale-{scale}"
    folder = ResultsFolder(results or Path("results", name))
    check_sources(selected, plan, folder)
    return Job(plan, folder, selected, pending(selected, folder, retry))


def run(
    suite: str | Path,
    *,
    results: str | Path | None = None,
    methods: str | Sequence[str] = (),
    datasets: str | Sequence[str] = (),
    training: str | Sequence[str] = (),
    seeds: int | None = None,
    scale: float = 1.0,
    device: str = "cpu",
    precision: Precision = "float32",
    retry: bool = True,
    jobs: int | None = None,
    executor: str = "",
    timeout: float | None = None,
    memory: int | None = None,
) -> Report:
    """Run the cells of a suite that have no result yet, and report on the whole suite.

    A cell that raises becomes a failed record and does not stop the others. What is finished is on
    disk at once, so a stopped run continues where it was. Progress is shown on standard error if
    that is a terminal.

    Args:
        suite: name of a suite, or path of a TOML file.
        results: folder to write to, by default ``results/<suite>``, and with a scale
            ``results/<suite>-scale-<scale>``.
        methods: run only these; the report still shows the whole plan.
        datasets: run only these; likewise.
        training: run only ``"natural"`` or ``"pgd"``; likewise.
        seeds: number of repetitions instead of the suite's; the report is on these.
        scale: share of the suite's epochs, training data, attacked samples and repetitions, above 0
            up to 1; every table names it.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:0"``, …
        precision: of training: ``"float32"``, or ``"mixed"``, where backbones compute in bfloat16
            and graphs in float32.
        retry: whether cells that failed before are run again.
        jobs: cells at a time, each in a process of its own; 0 runs them in this process, for a
            debugger. None is the environment variable ``LAPBENCH_JOBS``, and without it 1; with an
            executor all that it can take. The results are the same.
        executor: address of a dask.distributed scheduler, whose workers run the cells; they see
            the results folder and the data under the same paths.
        timeout: seconds after which a cell is stopped and stored as failed.
        memory: bytes that the process of a cell may allocate, on Linux.

    Raises:
        LapbenchError: if the suite has mistakes, or a name or device is not there.
        OSError: if results cannot be written.

    """
    execution = Execution(jobs, executor, Limits(timeout, memory))
    job = prepare(
        suite,
        results=results,
        methods=methods,
        datasets=datasets,
        training=training,
        seeds=seeds,
        scale=scale,
        device=device,
        precision=precision,
        retry=retry,
    )
    return job.run(Console(stderr=True), execution)
