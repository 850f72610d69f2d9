"""A dry run prints cells and their times, and leaves no trace."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

import lapbench
from lapbench.cli import dry_run
from lapbench.cli.dry_run import duration, print_dry_run
from lapbench.cli.main import main
from lapbench.running.api import RunOptions, prepare
from lapbench.running.estimate import Estimate
from lapbench.suite.cells import Cell


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that were measured: softmax takes 2 minutes, gll 6, half of it for attacks."""
    seen: list[str] = []

    def pretend(cell: Cell, cells: dict[str, Cell]) -> Estimate:
        assert cell in cells.values()
        seen.append(cell.method.name)
        return Estimate(120.0) if cell.method.name == "softmax" else Estimate(180.0, 180.0)

    monkeypatch.setattr(dry_run, "estimate", pretend)
    return seen


def test_repetitions_share_a_measurement_and_the_sum_is_over_all(
    tiny_suite: Path, tmp_path: Path, measured: list[str]
):
    arguments = ["run", str(tiny_suite), "--results", str(tmp_path / "r"), "--dry-run"]
    ran = CliRunner().invoke(main, [*arguments, "--jobs", "2"])
    assert measured == ["softmax", "gll"]
    *cells, last = ran.stdout.splitlines()
    assert [line.split("  ")[-1] for line in cells] == ["about 2 min", "about 6 min"] * 2
    assert last == (
        "4 of 4 cells would run, about 8 min in all with --jobs 2 "
        "(measured just now on this machine; attacks 38 %)"
    )


def test_finished_cells_cost_nothing(
    tiny_suite: Path,
    tmp_path: Path,
    measured: list[str],
    capsys: pytest.CaptureFixture[str],
):
    lapbench.run(tiny_suite, results=tmp_path, methods="gll")
    print_dry_run(prepare(tiny_suite, RunOptions(results=tmp_path)), 1, Console(stderr=True))
    assert measured == ["softmax"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("2 of 4 cells would run, about 4 min in all")


def test_pretraining_is_paid_once_a_repetition(
    tiny_suite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(dry_run, "estimate", lambda *_: Estimate(120.0, pretraining=600.0))
    print_dry_run(prepare(tiny_suite, RunOptions(results=tmp_path)), 1, Console(stderr=True))
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()[:-1]]
    assert [line[-1] for line in lines] == ["about 12 min", "about 2 min"] * 2


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
