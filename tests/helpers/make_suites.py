"""Small suites, their plans, and runs of them."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_SUITE
from rich.console import Console

from lapbench.results.collect import load_records
from lapbench.results.records import Record
from lapbench.running.api import PreparedRun, RunOptions, prepare
from lapbench.running.backends import Backend, run_cells
from lapbench.running.progress import Progress
from lapbench.suite.plan import SCHEMA, Plan, PlannedCell
from lapbench.suite.suite import Suite, SuiteError, load_suite

BOTH = 'training = ["natural", "pgd"]\n'
TABLE = "[pgd]\nepsilon = 0.2\nstep_size = 0.1\nsteps = 2\n"
SECOND = '[[tasks]]\ndataset = "two_moons"\nbackbone = "mlp"\ntwo_moons.samples = 160\n'
MOONS = '"two_moons"\nbackbone = "mlp"\ntwo_moons.samples = 160\nmlp.width = 8\n'
KARATE = '"karate"\nbackbone = "gnn"\ngnn.width = 4\n'


def suite(
    folder: Path, methods: Sequence[str] | str, before: str = "", after: str = "", task: str = ""
) -> Path:
    """A suite of one repetition and four epochs; methods are names, or TOML; more around it."""
    written = methods if isinstance(methods, str) else json.dumps(methods)
    text = TINY_SUITE.replace('["softmax", "gll"]', written).replace("epochs = 3", "epochs = 4")
    text = text.replace("seeds = 2", "seeds = 1").replace("[[tasks]]", f"[[tasks]]\n{task}")
    path = folder / "suite.toml"
    path.write_text(before + text + after)
    return path


def planned(path: Path) -> list[PlannedCell]:
    """The cells of a suite."""
    return prepare(path, RunOptions()).plan.cells


def on_karate(folder: Path, methods: str, before: str = "", after: str = "") -> Path:
    """A suite of four epochs on the karate club."""
    path = suite(folder, methods, before, after)
    text = path.read_text()
    assert MOONS in text
    path.write_text(text.replace(MOONS, KARATE))
    return path


def names(path: Path) -> set[tuple[str, str]]:
    """Task and method of each row of a suite, before it runs."""
    prepared = prepare(path, RunOptions(results=path.parent / "named"))
    prepared.folder.write_plan(prepared.plan)
    frame = load_records(path.parent / "named")
    return set(zip(frame["task"], frame["method"], strict=True))


def mistakes(path: Path) -> list[str]:
    """What is wrong with a suite, a line each."""
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    first, *lines = str(caught.value).splitlines()
    assert f" has {len(lines)} mistake" in first
    return [line.removeprefix("  ") for line in lines]


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
    (result,) = (
        planned.key
        for planned in prepared.plan.cells
        if (planned.cell.method.name, planned.cell.repetition) == (method, repetition)
    )
    return prepared.folder.read_record(result)


def statuses(record: Record) -> dict[str, str]:
    """How each attack on a model ended."""
    return {run.label: run.status for run in record.attacks}


def plan_of_suite(suite: Suite) -> Plan:
    """The plan of a suite, whose data are not read."""
    cells = suite.cells("cpu")
    planned = [PlannedCell(str(i), "exact", cell, e.label) for i, (cell, _, e) in enumerate(cells)]
    return Plan(SCHEMA, "suite", "title", planned)
