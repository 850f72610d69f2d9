"""The command line lists what there is, helps in short, and is quiet where nobody reads."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from make_finished_runs import finished
from make_runs import lapbench

from lapbench.cli.main import KINDS, main
from lapbench.discovery import load, names, summary


def run(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main, list(map(str, arguments)))


def commands(command: click.Command, *path: str) -> list[tuple[str, ...]]:
    """A command and those in it, each by its words."""
    inner = command.commands if isinstance(command, click.Group) else {}
    return [path, *(words for name, each in inner.items() for words in commands(each, *path, name))]


@pytest.mark.parametrize("words", commands(main), ids=" ".join)
def test_help_fits_80_columns_and_cuts_no_description(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(main, [*words, "--help"], terminal_width=80).output
    assert "..." not in shown.partition("Commands:")[2]
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("name", main.commands)
def test_every_command_and_option_has_a_help_text(name: str):
    command = main.commands[name]
    assert run(name, "--help").exit_code == 0
    assert command.get_short_help_str()
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.usefixtures("figures")
def test_list_shows_every_name_with_its_description():
    shown = run("list").output
    for kind in KINDS:
        assert f"{kind}\n" in shown
        for name in names(kind):
            assert f"  {name} " in shown
            assert len(summary(kind, name)) > 20
            assert summary(kind, name) in shown
            if kind in ("methods", "backbones", "datasets"):
                assert summary(kind, name) == (load(kind, name).__doc__ or "").partition("\n")[0]


def test_list_of_one_kind_shows_no_other():
    shown = run("list", "datasets").output
    assert "digits" in shown
    assert "softmax" not in shown


def test_installed_plugin_is_listed_and_runs(plugins: None):  # noqa: ARG001
    assert "broken" in names("methods")
    assert "misbehaving:Broken" in run("list", "methods").output


def test_run_is_quiet_but_for_the_report(tiny_suite: Path, tmp_path: Path):
    """Without a terminal: no progress, no warnings, no control characters."""
    results = tmp_path / "results"
    ran = lapbench("run", tiny_suite, "--seeds", 1, "--methods", "softmax", "--results", results)
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert ran.stdout.strip().startswith("tiny")
    assert "\x1b" not in ran.stdout
    assert f"{results}/leaderboard.md" in ran.stdout


def test_dry_run_writes_nothing(tiny_suite: Path, tmp_path: Path):
    results = tmp_path / "results"
    assert "4 of 4 cells" in run("run", tiny_suite, "--results", results, "--dry-run").output
    assert not results.exists()


def test_selected_cells_alone_run_and_the_plan_stays_whole(tiny_suite: Path, tmp_path: Path):
    assert run("run", tiny_suite, "--methods", "gll", "--results", tmp_path / "r").exit_code == 0
    assert len(list((tmp_path / "r" / "records").iterdir())) == 2
    board = (tmp_path / "r" / "leaderboard.csv").read_text()
    assert "softmax,natural,autograd,accuracy,,,,0,2" in board


def test_show_prints_cell_numbers_and_origin(tiny_suite: Path, tmp_path: Path):
    (record, *_) = (finished(tiny_suite, tmp_path / "r") / "records").iterdir()
    shown = run("show", record.stem[:10], "--results", tmp_path)
    assert shown.exit_code == 0
    for text in ("test accuracy: ", "learning_rate: 0.001", "torch: ", "commit: "):
        assert text in shown.output


def test_show_without_such_a_record_names_key_folder_and_option(tmp_path: Path):
    shown = run("show", "feed", "--results", tmp_path)
    assert shown.exit_code == 2
    for text in ("'feed'", str(tmp_path), "--results"):
        assert text in shown.output


def test_command_is_installed():
    command = Path(sys.executable).with_name("lapbench")
    ran = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("lapbench, version ")


def test_info_names_the_versions():
    shown = run("info").output
    for text in ("lapbench: ", "torch: ", "processor: ", "accelerator: "):
        assert text in shown


def test_results_that_cannot_be_written_are_explained(tiny_suite: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    ran = run("run", tiny_suite, "--results", tmp_path / "file")
    assert ran.exit_code == 1
    assert isinstance(ran.exception, SystemExit)
    assert "Error: " in ran.output
