"""Every mistake of a user is named, with its place, what was received and what is accepted."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from expect_refusal import refused

import lapbench
from lapbench.cli.main import main
from lapbench.discovery import UnknownNameError, names
from lapbench.errors import LapbenchError
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.suite import SuiteError, load_suite

FOUR_MISTAKES = """
title = "four mistakes"
seeds = 0
methods = ["softmx", { name = "gll", gll.tau = -1 }]

[[tasks]]
dataset = "digits"
backbone = "mlp"

[budget]
epochs = 3
batch-size = 10
"""


def run(*arguments: object) -> tuple[int, str]:
    """Exit status and everything printed."""
    ran = CliRunner().invoke(main, ["run", *map(str, arguments)])
    return ran.exit_code, ran.output


def test_four_mistakes_are_four_errors_with_their_places(tmp_path: Path):
    path = tmp_path / "suite.toml"
    path.write_text(FOUR_MISTAKES)
    status, output = run(path)
    assert status == 2
    first, *lines = output.splitlines()
    assert f"{path} has 4 mistakes" in first
    for line, place, value in zip(
        lines,
        ("budget.batch-size", "seeds", "methods[0].name", "methods[1].gll.tau"),
        ("unknown field", "received 0;", "'softmx'", "received -1;"),
        strict=True,
    ):
        assert line.startswith(f"  {place}: ")
        assert value in line


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["defualt"], 2, "unknown suite 'defualt'"),
        (["nowhere/suite.toml"], 2, "there is no file nowhere/suite.toml; give the path of"),
        (["."], 2, "unknown suite '.'"),
        (["default", "--device", "cuda:99"], 2, "GPU(s); use --device cpu"),
        (["default", "--methods", "softmax,glll"], 2, "method 'glll' is not in suite default"),
        (["default", "--datasets", "mnist"], 2, "dataset 'mnist' is not in suite default"),
        (["default", "--device", "tpu"], 2, "device: received 'tpu'"),
        (["default", "--device", "meta"], 2, "device: received 'meta'"),
        (["default", "--seeds", "0"], 2, "0 is not in the range x>=1"),
    ],
)
def test_wrong_command_is_explained(arguments: list[str], status: int, message: str):
    result, output = run(*arguments)
    assert result == status
    assert message in output
    assert "Traceback" not in output


@pytest.mark.parametrize("name", names("suites"))
def test_suites_that_come_with_lapbench_are_valid(name: str):
    suite = load_suite(name)
    assert suite.name == name
    entries = len(suite.tasks) * len(suite.methods) * len(suite.training)
    assert len(suite.cells("cpu")) == suite.seeds * entries


@pytest.mark.parametrize("seeds", [0, -1])
def test_number_of_seeds_below_one_is_refused(seeds: int, tmp_path: Path):
    with refused(SuiteError, f"seeds: received {seeds}"):
        lapbench.run("default", seeds=seeds, results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_single_name_needs_no_list():
    assert {
        cell.cell.method.name for cell in prepare("default", RunOptions(methods="gll")).selected
    } == {"gll"}


def test_device_with_an_index_is_the_same_cpu():
    assert (
        prepare("default", RunOptions(seeds=1, device="cpu:0")).plan
        == prepare("default", RunOptions(seeds=1)).plan
    )


def test_unknown_kind_lists_the_known():
    with refused(LapbenchError, "kind: received 'x'"):
        names("x")


def test_suite_of_the_readme_is_valid(tmp_path: Path):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "suite.toml"
    path.write_text(readme.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    assert len(load_suite(path).cells("cpu")) == 15


def test_unknown_name_of_any_kind_is_explained():
    with refused(UnknownNameError, "unknown suite 'x'"):
        load_suite("x")
