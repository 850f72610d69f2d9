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
    lines = output.splitlines()
    assert "has 4 mistakes" in lines[0]
    assert len(lines) == 5
    assert "  seeds: received 0; it should be greater than or equal to 1" in lines
    assert any(line.startswith("  methods[0].name: unknown method 'softmx'") for line in lines)
    assert "  methods[1].gll.tau: received -1; it should be greater than or equal to 0" in lines
    assert any(line.startswith("  budget.batch-size: unknown field") for line in lines)


def test_unknown_method_lists_the_known(tmp_path: Path):
    path = tmp_path / "suite.toml"
    path.write_text(FOUR_MISTAKES)
    with refused(SuiteError, ", ".join(names("methods")), "did you mean"):
        load_suite(path)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("[[tasks]]", "[tasks]"), "tasks: received"),
        (('dataset = "digits"', "dataset = 3"), "tasks[0].dataset: received 3"),
        (('"mlp"', '"mlp"\ncolour = 1'), "tasks[0].colour: unknown field"),
        (('"mlp"', '"mlp"\nmlp.wide = 1'), "tasks[0].mlp.wide: unknown field"),
        (("epochs = 3\n", ""), "budget.epochs: missing"),
        (
            ("epochs = 3\n", "epochs = 3\n[simclr]\nepochs = 1\nschedule.step = [[1, 0.1]]\n"),
            "simclr.schedule: received {'step': [[1, 0.1]]}",
        ),
        (("epochs = 3\n", 'epochs = "3"\n'), "budget.epochs: received '3'"),
        (('title = "four mistakes"', ""), "title: missing"),
        (('"softmx"', "3"), "methods[0]: received 3"),
        (('"softmx"', '"softmax", "gll", "softmax"'), "methods[2]: equal to methods[0]"),
        (
            ('"softmx"', '{ name = "gll", learning_rate = 0 }'),
            "methods[0].learning_rate: received 0",
        ),
        (
            ('"softmx"', '{ name = "gll", gll.bandwidth = 0.0 }'),
            "methods[0].gll.bandwidth: received",
        ),
    ],
)
def test_each_mistake_names_its_place(tmp_path: Path, change: tuple[str, str], place: str):
    path = tmp_path / "suite.toml"
    assert change[0] in FOUR_MISTAKES
    path.write_text(FOUR_MISTAKES.replace(*change))
    status, output = run(path)
    assert status == 2
    assert f"\n  {place}" in output
    assert "Traceback" not in output


def test_snapshot_after_the_last_epoch_is_a_mistake(tiny_suite: Path):
    tiny_suite.write_text(tiny_suite.read_text() + "[evaluation]\nsnapshot_epochs = [0, 9]\n")
    with refused(SuiteError, "snapshot_epochs: received 9", "3"):
        load_suite(tiny_suite)


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
    found, output = run(*arguments)
    assert found == status
    assert message in output
    assert "Traceback" not in output


def test_text_that_is_no_toml_is_explained(tmp_path: Path):
    path = tmp_path / "suite.toml"
    path.write_text("title = ")
    with refused(SuiteError, "TOML: Invalid value"):
        load_suite(path)


@pytest.mark.parametrize("name", names("suites"))
def test_suites_that_come_with_lapbench_are_valid(name: str):
    suite = load_suite(name)
    assert suite.name == name
    entries = len(suite.tasks) * len(suite.methods) * len(suite.training)
    assert len(suite.cells("cpu")) == suite.seeds * entries


def test_text_in_another_encoding_is_explained(tmp_path: Path):
    path = tmp_path / "suite.toml"
    path.write_bytes(b"\xff\xfe")
    with refused(SuiteError, "TOML: 'utf-8' codec"):
        load_suite(path)


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
