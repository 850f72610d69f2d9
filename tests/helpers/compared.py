"""Results folders to compare, made from the records of the README."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner, Result

from lapbench.cli.main import main
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.suite.plan import PlannedCell
from lapbench.training.metrics import Metric

KEPT = Path(__file__).parents[2] / "reports" / "records" / "default"
METHODS = ("softmax", "gll")


def write_results(path: Path) -> Path:
    """Write five repetitions of softmax and gll on digits, with all kinds of numbers."""
    kept, folder = ResultsFolder(KEPT), ResultsFolder(path)
    plan = kept.read_plan()
    cells = [
        replace(planned, data=f"{planned.cell.repetition}aaaaaaaaaaaaaaa")
        for planned in plan.cells
        if planned.cell.dataset.name == "digits" and planned.cell.method.name in METHODS
    ]
    folder.write_plan(replace(plan, cells=cells))
    for planned in cells:
        record = kept.read_record(planned.key)
        own = {"gradient_error": 1e-9, "solve_iterations": 20.0, "first_step_length": 0.5}
        extra = [Metric(name, "train", value, 1) for name, value in own.items()]
        assert record.timing
        timing = replace(record.timing, stages={"solve": [0.2]}, softmax_pass_seconds=[0.1])
        folder.write_record(replace(record, metrics=[*record.metrics, *extra], timing=timing))
    return path


def run(*arguments: object) -> Result:
    """Run the command."""
    ran = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert "Traceback" not in ran.output
    return ran


def edit(folder: Path, change: Callable[[Record], Record], *methods: str) -> None:
    """Change the records of methods."""
    results = ResultsFolder(folder)
    for key in results.list_keys():
        record = results.read_record(key)
        if record.cell.method.name in methods:
            results.write_record(change(record))


def replan(folder: Path, change: Callable[[PlannedCell], PlannedCell | None]) -> None:
    """Change the planned cells, or leave them out."""
    results = ResultsFolder(folder)
    plan = results.read_plan()
    results.write_plan(replace(plan, cells=[c for p in plan.cells if (c := change(p))]))


def scaled(metric: str, factor: float) -> Callable[[Record], Record]:
    """Multiply a number of a record."""

    def change(record: Record) -> Record:
        metrics = [
            replace(each, value=factor * each.value) if each.metric == metric else each
            for each in record.metrics
        ]
        return replace(record, metrics=metrics)

    return change


longer_steps = scaled("first_step_length", 10)


def slow_solve(record: Record) -> Record:
    """A solve that takes twice as long."""
    assert record.timing
    return replace(record, timing=replace(record.timing, stages={"solve": [0.4]}))


def failed(record: Record) -> Record:
    """A cell that raised."""
    return replace(record, status="failed", reason="RuntimeError: no luck", metrics=[])
