"""Results folders to compare, made from the records of the README."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from lapbench.cli.main import main
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.suite.components import Component
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
    own = {"gradient_error": 1e-9, "solve_iterations": 20.0}
    own |= {"first_step_length": 0.5, "first_step_loss": 2.0}
    extra = [Metric(name, "train", value, 1) for name, value in own.items()]
    timed = {"stages": {"solve": [0.2]}, "softmax_pass_seconds": [0.1], "saved_bytes": 1000}
    for planned in cells:
        record = kept.read_record(planned.key)
        assert record.timing
        timing = replace(record.timing, **timed)
        folder.write_record(replace(record, metrics=[*record.metrics, *extra], timing=timing))
    return path


def run(*arguments: object) -> Result:
    """Run the command."""
    ran = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), repr(ran.exception)
    return ran


def edit(folder: Path, change: Callable[[Record], Record | None], *methods: str) -> None:
    """Change the records of methods, or delete them."""
    results = ResultsFolder(folder)
    for key in results.list_keys():
        record = results.read_record(key)
        if record.cell.method.name in methods:
            if changed := change(record):
                results.write_record(changed)
            else:
                (folder / "records" / f"{key}.json").unlink()


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


def timed(**times: Any) -> Callable[[Record], Record]:
    """Change what was timed."""

    def change(record: Record) -> Record:
        assert record.timing
        return replace(record, timing=replace(record.timing, **times))

    return change


longer_steps = scaled("first_step_length", 10)
slow_solve = timed(stages={"solve": [0.4]})


def without(metric: str) -> Callable[[Record], Record]:
    """Leave out a number of a record."""
    return lambda r: replace(r, metrics=[m for m in r.metrics if m.metric != metric])


def failed(record: Record) -> Record:
    """A cell that raised."""
    return replace(record, status="failed", reason="RuntimeError: no luck", metrics=[])


def attack_failed(record: Record) -> Record:
    """A cell whose first attack raised."""
    first, *others = record.attacks
    return replace(record, attacks=[replace(first, status="failed", reason="no"), *others])


def faster(planned: PlannedCell) -> PlannedCell:
    """Another learning rate of gll."""
    budget = replace(planned.cell.budget, learning_rate=0.03)
    own = planned.cell.method.name == "gll"
    return replace(planned, cell=replace(planned.cell, budget=budget)) if own else planned


def variants(planned: PlannedCell) -> PlannedCell:
    """Two variants of gll in place of one."""
    cell = planned.cell
    head = Component("gll", {**cell.method.head.parameters, "tau": 0.25 + cell.repetition % 2})
    own = cell.method.name == "gll"
    method = replace(cell.method, head=head)
    return replace(planned, cell=replace(cell, method=method)) if own else planned
