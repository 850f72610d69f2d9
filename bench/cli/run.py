"""The command ``lapbench run``."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lapbench.cli.errors import explained_errors


class _Quantity(click.ParamType):  # type: ignore[type-arg]
    """A number with a unit, converted to the smallest unit."""

    def __init__(self, name: str, kind: type, units: dict[str, int]) -> None:
        self.name, self._kind, self._units = name, kind, units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a text such as "30m"."""
        quantity = re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Za-z]+)", str(value))
        if not quantity or quantity[2] not in self._units or not float(quantity[1]):
            units = ", ".join(self._units)
            self.fail(
                f"received {value!r}; must be a positive number with a unit ({units})", param, ctx
            )
        return self._kind(float(quantity[1]) * self._units[quantity[2]])


_DURATION = _Quantity("duration", float, {"s": 1, "m": 60, "h": 3600})
_SIZE = _Quantity("size", int, {"MB": 10**6, "GB": 10**9})


def names(option: str | None) -> list[str]:
    """Names in a list separated by commas."""
    return [name.strip() for name in option.split(",") if name.strip()] if option else []


def _only(option: str, what: str) -> Callable[[Any], Any]:
    def parsed(_: click.Context, __: click.Parameter, value: str | None) -> list[str]:
        return names(value)

    return click.option(option, metavar="NAME,…", callback=parsed, help=f"Run only {what}.")


@click.command()
@click.argument("suite")
@_only("--methods", "these methods of the suite")
@_only("--datasets", "these data sets of the suite")
@_only("--training", "this training, natural or pgd")
@click.option(
    "--seeds", type=click.IntRange(min=1), help="Number of repetitions, instead of the suite's."
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True, max=1),
    default=1.0,
    help="Share of epochs, training data, attacked samples and repetitions to use. --seeds "
    "overrides the repetitions.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0, …")
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed"]),
    default="float32",
    show_default=True,
    help="Training precision; 'mixed' runs backbones in bfloat16, graphs in float32.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Results folder. Default: results/SUITE, with --scale results/SUITE-scale-F.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    help="Cells that run at the same time, each in its own process. 0 runs them in this process, "
    "for a debugger. Default: LAPBENCH_JOBS, or 1; with --executor, as many as the cluster takes.",
)
@click.option(
    "--executor",
    metavar="ADDRESS",
    default="",
    help="Address of a dask.distributed scheduler whose workers run the cells, such as "
    "tcp://HOST:8786.",
)
@click.option(
    "--timeout",
    type=_DURATION,
    help="Time limit of a cell, such as 90s, 30m or 5h. Beyond it the cell fails; the next run "
    "continues from its checkpoint.",
)
@click.option(
    "--memory",
    type=_SIZE,
    help="Memory limit of a cell, such as 800MB or 4GB. Beyond it the cell fails. Linux only.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only list the cells that would run, with their estimated times. Missing data are "
    "downloaded.",
)
@click.option("--no-retry", is_flag=True, help="Do not run failed cells again.")
def run(suite: str, dry_run: bool, no_retry: bool, **options: Any) -> None:
    """Run a suite, print the leaderboard and write the report.

    SUITE is a name from `lapbench list suites`, or a TOML file. Records, tables and figures are
    written into the results folder. Finished cells are not run again. If a cell fails, the others
    still run, and the exit status is 1; `lapbench show KEY` prints the traceback.

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
