"""The command line says what there is, and stays quiet where nobody reads."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from running import lapbench

from lapbench import run
from lapbench.cli.main import KINDS, main
from lapbench.discovery import load, names, summary


@pytest.mark.usefixtures("figures")
def test_list_shows_every_name_with_its_description():
    shown = CliRunner().invoke(main, ["list"]).output
    for kind in KINDS:
        assert f"{kind}\n" in shown
        for name in names(kind):
            assert f"  {name} " in shown
            assert len(summary(kind, name)) > 20
            assert summary(kind, name) in shown


def test_list_of_one_kind_shows_no_other():
    shown = CliRunner().invoke(main, ["list", "datasets"]).output
    assert "digits" in shown
    assert "softmax" not in shown


@pytest.mark.parametrize("kind", ["methods", "backbones", "datasets"])
def test_listed_description_is_the_docstring(kind: str):
    for name in names(kind):
        assert summary(kind, name) == (load(kind, name).__doc__ or "").partition("\n")[0]


def test_installed_plugin_is_listed_and_runs(plugins: None):  # noqa: ARG001
    assert "broken" in names("methods")
    assert "misbehaving:Broken" in CliRunner().invoke(main, ["list", "methods"]).output


def test_run_is_quiet_but_for_the_report(tiny_suite: Path, tmp_path: Path):
    """Without a terminal: no progress, no warnings, no control characters."""
    ran = lapbench("run", tiny_suite, "--seeds", 1, "--results", tmp_path / "results")
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert ran.stdout.strip().startswith("tiny")
    assert "\x1b" not in ran.stdout
    assert f"{tmp_path}/results/leaderboard.md" in ran.stdout


def test_dry_run_writes_nothing(tiny_suite: Path, tmp_path: Path):
    results = tmp_path / "results"
    arguments = ["run", str(tiny_suite), "--results", str(results), "--dry-run"]
    shown = CliRunner().invoke(main, arguments).output
    assert "4 of 4 cells would run" in shown
    assert not results.exists()


def test_selected_cells_alone_run_and_the_plan_stays_whole(tiny_suite: Path, tmp_path: Path):
    arguments = ["run", tiny_suite, "--methods", "gll", "--results", tmp_path / "results"]
    assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    assert len(list((tmp_path / "results" / "records").iterdir())) == 2
    board = (tmp_path / "results" / "leaderboard.csv").read_text()
    assert "softmax,natural,autograd,accuracy,,,,0,2" in board


def test_show_prints_cell_numbers_and_origin(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    run(tiny_suite, seeds=1)
    (record, *_) = (tmp_path / "results" / "tiny" / "records").iterdir()
    shown = CliRunner().invoke(main, ["show", record.stem[:10]])
    assert shown.exit_code == 0
    for text in ("test accuracy: ", "learning_rate: 0.001", "torch: ", "commit: "):
        assert text in shown.output


def test_show_without_such_a_record_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(main, ["show", "feed"])
    assert shown.exit_code == 2
    assert "'feed'" in shown.stderr


def test_command_is_installed():
    command = Path(sys.executable).with_name("lapbench")
    ran = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("lapbench, version ")


def test_info_names_the_versions():
    shown = CliRunner().invoke(main, ["info"]).output
    for text in ("lapbench: ", "torch: ", "processor: ", "accelerator: "):
        assert text in shown


def test_results_that_cannot_be_written_are_explained(tiny_suite: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    ran = CliRunner().invoke(main, ["run", str(tiny_suite), "--results", str(tmp_path / "file")])
    assert ran.exit_code == 1
    assert ran.stderr.startswith("Error: ")
    assert str(tmp_path / "file") in ran.stderr
