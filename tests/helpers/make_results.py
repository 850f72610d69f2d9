"""Results folders to compare, and past runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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


RECORDS = Path(__file__).parents[2] / "reports" / "records" / "default"

Number = tuple[str, float | None] | tuple[str, float | None, dict[str, Any]]
"""Metric and value, None of a cell that failed, and columns that differ."""
Edit = Callable[[dict[str, Any]], None]

_UNATTACKED = {"attack": "", "norm": "", "parameter": "", "level": 0.0, "steps": 0}


def past(
    numbers: Callable[[int, str, int], list[Number]],
    runs: int = 3,
    methods: tuple[str, ...] = ("softmax", "gll"),
    tasks: tuple[str, ...] = ("digits",),
    repetitions: int = 2,
    about: Callable[[int], dict[str, Any]] = lambda run: {},
) -> pd.DataFrame:
    """A frame of past runs; ``numbers`` are of a run, method and repetition."""
    rows = []
    for run, task, method, repetition in product(range(runs), tasks, methods, range(repetitions)):
        cell = {
            "task": task,
            "backbone": "mlp",
            "method": method,
            "training": "natural",
            "repetition": repetition,
            "key": f"{task}/{method}/{repetition}",
            "run": f"run{run}",
            "commit": f"{run:07x}" + "0" * 33,
            "started": f"{np.datetime64('2026-01-01') + run}T10:00:00+00:00",
            "processor": "slow",
            "torch": "2.13.0",
            "data": "same",
            **about(run),
        }
        for metric, value, *more in numbers(run, method, repetition):
            number = {"metric": metric, "value": value, "status": "ok"}
            if value is None:
                number = {"metric": None, "value": np.nan, "status": "failed"}
            rows.append({**cell, **_UNATTACKED, **number, **dict(*more)})
    return pd.DataFrame(rows)


def accuracy(run: int, method: str, repetition: int) -> list[Number]:
    """GLL loses a point a run."""
    return [("accuracy", 0.9 + 0.02 * repetition - (0.01 * run if method == "gll" else 0))]


def keep_run(
    folder: Path, day: int, commit: str = "a" * 40, edit: Edit = lambda record: None
) -> Path:
    """Store the cells of softmax and gll on digits as a run of a day; ``edit`` gets each record."""
    plan = json.loads((RECORDS / "plan.json").read_text())
    plan["cells"] = [planned for planned in plan["cells"] if _kept(planned["cell"])]
    for planned in plan["cells"]:
        record = json.loads((RECORDS / "records" / f"{planned['key']}.json").read_text())
        about = {"started": f"2026-03-{day:02}T08:00:00+00:00", "commit": commit}
        record["provenance"] |= about
        edit(record)
        path = folder / "records" / f"{planned['key']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def _kept(cell: dict[str, Any]) -> bool:
    names = cell["dataset"]["name"], cell["method"]["head"]["name"], cell["method"]["terms"]
    return names in (("digits", "softmax", []), ("digits", "gll", []))
