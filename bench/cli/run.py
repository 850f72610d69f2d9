"""The command ``lapbench run``."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from lapbench.cli.errors import explained_errors


class _Quantity(click.ParamType):  # type: ignore[type-arg]
    """A number with a unit, converted to the smallest."""

    def __init__(self, name: str, kind: type, units: dict[str, int]) -> None:
        self.name, self._kind, self._units = name, kind, units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or say what is accepted."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Za-z]+)", str(value))
        if not found or found[2] not in self._units or not float(found[1]):
            accepted = ", ".join(self._units)
            self.fail(f"received {value!r}; must be a number and one of {accepted}", param, ctx)
        return self._kind(float(found[1]) * self._units[found[2]])


_DURATION = _Quantity("duration", float, {"s": 1, "m": 60, "h": 3600})
_SIZE = _Quantity("size", int, {"MB": 10**6, "GB": 10**9})


def names(option: str | None) -> list[str]:
    """Return the names of an option that lists them."""
    return [name.strip() for name in option.split(",") if name.strip()] if option else []


def _names(_: click.Context, __: click.Parameter, option: str | None) -> list[str]:
    return names(option)


@click.command()
@click.argument("suite")
@click.option(
    "--methods", metavar="NAME,…", callback=_names, help="Run only these methods of the suite."
)
@click.option(
    "--datasets", metavar="NAME,…", callback=_names, help="Run only these data sets of the suite."
)
@click.option(
    "--training", metavar="NAME,…", callback=_names, help="Run only natural, or only pgd, training."
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    help="Repetitions, instead of the suite's; the report is on these.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True, max=1),
    default=1.0,
    help="Share of epochs, training data, attacked samples and repetitions (but --seeds has the "
    "last word on these); tables name it.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0, …")
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed"]),
    default="float32",
    show_default=True,
    help="Of training; mixed: backbones compute in bfloat16, graphs in float32.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Default: results/SUITE, with a scale results/SUITE-scale-F.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    help="Cells at a time, each in a process of its own; the results are the same. 0: in this "
    "process, for a debugger. Default: LAPBENCH_JOBS, or 1; on a cluster all that it can take.",
)
@click.option(
    "--executor",
    metavar="ADDRESS",
    default="",
    help="Of a dask.distributed scheduler, tcp://HOST:8786, whose workers run the cells.",
)
@click.option(
    "--timeout",
    type=_DURATION,
    help="Stop a cell after so long, 90s, 30m or 5h, and store it as failed; its next run "
    "continues from its last checkpoint.",
)
@click.option(
    "--memory",
    type=_SIZE,
    help="Memory that the process of a cell may allocate, 800MB or 4GB; beyond it the cell fails. "
    "Linux only.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say which cells would run and about how long they train, and stop; downloads missing "
    "data.",
)
@click.option("--no-retry", is_flag=True, help="Leave cells that failed before as they are.")
def run(suite: str, dry_run: bool, no_retry: bool, **options: Any) -> None:
    """Run SUITE (a name from `lapbench list suites`, or a TOML file) and report on it.

    Prints the leaderboard, and writes records, tables and figures into the results folder. Cells
    that are finished there are not run again. Exits with 1 if a cell failed, after finishing all
    others; `lapbench show KEY` prints its traceback.

    \b
    Examples:
      lapbench run default
      lapbench run default --methods gll --seeds 2 --results try
      lapbench run robustness --jobs 2 --timeout 1h
      lapbench run gll-table4-mnist --scale 0.1
      lapbench run wnll-table3 --executor tcp://node1:8786
      lapbench run my-suite.toml --dry-run
    """  # noqa: D301 - click takes the character for "keep these lines".
    with explained_errors(unreadable=1):
        from rich.console import Console

        from lapbench.cli.terminal import print_report
        from lapbench.running.api import RunOptions, prepare

        chosen = RunOptions(**options, retry=not no_retry)
        backend = chosen.backend()
        prepared = prepare(suite, chosen)
        if dry_run:
            from lapbench.cli.dry_run import print_dry_run

            print_dry_run(prepared, max(backend.cells_at_a_time(), 1), Console(stderr=True))
            return
        print_report(prepared.run(Console(stderr=True), backend))
        if failed := prepared.failed():
            click.echo(f"{len(failed)} of {len(prepared.selected)} cells failed", err=True)
            sys.exit(1)
