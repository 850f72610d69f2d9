"""Wrong commands, files that are not suites, and suites that come with lapbench."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from expect_refusal import refused

import lapbench
from lapbench.cli.main import main
from lapbench.discovery import names
from lapbench.errors import LapbenchError
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.suite import SuiteError, load_suite


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["defualt"], "'defualt'"),
        (["nowhere/suite.toml"], "nowhere/suite.toml"),
        (["."], "'.'"),
        (["default", "--device", "cuda:99"], "--device cpu"),
        (["default", "--methods", "softmax,glll"], "'glll'"),
        (["default", "--datasets", "mnist"], "'mnist'"),
        (["default", "--device", "tpu"], "device: received 'tpu'"),
        (["default", "--device", "meta"], "device: received 'meta'"),
        (["default", "--seeds", "0"], "--seeds"),
    ],
)
def test_wrong_command_is_explained(arguments: list[str], named: str):
    ran = CliRunner().invoke(main, ["run", *arguments])
    assert ran.exit_code == 2
    assert named in ran.output
    assert "Traceback" not in ran.output


@pytest.mark.parametrize("content", [b"title = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    with refused(SuiteError, str(path), "TOML"):
        load_suite(path)


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
