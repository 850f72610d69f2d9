"""Small suites of composed methods, and what is wrong with a suite."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import TINY_SUITE

from lapbench.results.collect import load_records
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.plan import PlannedCell
from lapbench.suite.suite import SuiteError, load_suite

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
