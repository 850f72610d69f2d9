"""A dry run prints cells and their times, and leaves no trace."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from make_finished_runs import finished
from rich.console import Console

from lapbench.cli import dry_run
from lapbench.cli.dry_run import duration, print_dry_run
from lapbench.cli.main import main
from lapbench.running.api import RunOptions, prepare
from lapbench.running.estimate import Estimate
from lapbench.suite.cells import Cell


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that were timed: softmax trains 2 minutes, gll 6."""
    seen: list[str] = []

    def pretend(cell: Cell) -> Estimate:
        seen.append(cell.method.name)
        return Estimate(120.0 if cell.method.name == "softmax" else 360.0)

    monkeypatch.setattr(dry_run, "estimate", pretend)
    return seen


def test_repetitions_are_timed_once_and_the_sum_is_over_all(
    tiny_suite: Path, tmp_path: Path, timed: list[str]
):
    arguments = ["run", str(tiny_suite), "--results", str(tmp_path / "r"), "--dry-run"]
    ran = CliRunner().invoke(main, [*arguments, "--jobs", "2"])
    assert timed == ["softmax", "gll"]
    *cells, last = ran.stdout.splitlines()
    times = ["about 2 min of training", "about 6 min of training"]
    assert [line.split("  ")[-1] for line in cells] == times * 2
    assert last.startswith("4 of 4 cells would run, about 8 min in all with --jobs 2 (without")


def test_a_long_cell_is_not_divided_among_jobs(
    tiny_suite: Path, tmp_path: Path, timed: list[str], capsys: pytest.CaptureFixture[str]
):
    prepared = prepare(tiny_suite, RunOptions(results=tmp_path, methods="gll", seeds=1))
    print_dry_run(prepared, 4, Console(stderr=True))
    assert timed == ["gll"]
    assert "1 of 1 cells would run, about 6 min in all" in capsys.readouterr().out


def test_finished_cells_cost_nothing_and_their_kind_is_not_timed(
    tiny_suite: Path, tmp_path: Path, timed: list[str], capsys: pytest.CaptureFixture[str]
):
    results = finished(tiny_suite, tmp_path / "r", seeds=1, methods="gll")
    prepared = prepare(tiny_suite, RunOptions(results=results))
    print_dry_run(prepared, 1, Console(stderr=True))
    assert timed == ["softmax"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("3 of 4 cells would run, about")
    (recorded,) = (line for line in lines if "  gll  " in line)
    assert not recorded.endswith("of training")


@pytest.mark.usefixtures("plugins")
def test_cells_without_an_estimate_say_why(tiny_suite: Path, tmp_path: Path):
    text = tiny_suite.read_text().replace('"gll"', '"broken", "exploding", "picky"')
    tiny_suite.write_text(text)
    arguments = ["run", str(tiny_suite), "--results", str(tmp_path / "r"), "--seeds", "1"]
    ran = CliRunner().invoke(main, [*arguments, "--dry-run"])
    assert ran.exit_code == 0
    assert ran.stderr == ""
    for line in (
        "broken  natural  repetition 0  no estimate: RuntimeError: no such | luck",
        "exploding  natural  repetition 0  no estimate: DivergedError: the loss is nan; lower",
        "picky  natural  repetition 0  no estimate: two_moons is beneath it",
        "softmax  natural  repetition 0  about",
        "; without the 3 that have no estimate)",
    ):
        assert line in ran.stdout


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (119, "119 s"), (121, "2 min"), (7199, "120 min"), (9000, "2.5 h")],
)
def test_times_have_one_unit(seconds: float, text: str):
    assert duration(seconds) == text
