"""The command line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lapbench import discovery
from lapbench.cli_data import data
from lapbench.errors import LapbenchError

if TYPE_CHECKING:
    from lapbench.cells import Precision
    from lapbench.summary import Report

KINDS = list(discovery.PACKAGES)
INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `lapbench run default`, ten minutes, and look into results/default. "
    "Nothing finished is lost: a run that was stopped continues where it was.",
)
@click.version_option(package_name="lapbench")
def main() -> None:
    """Compare graph (Laplacian) regularisers for neural networks on equal terms."""


main.add_command(data)


@main.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
def list_names(kind: str | None) -> None:
    """List methods, backbones, data sets, attacks, figures and suites.

    Each comes from one file; those of installed plug-ins (entry points) are listed too.
    """
    for each in [kind] if kind else KINDS:
        names = discovery.names(each)
        width = max(map(len, names))
        click.secho(each, bold=True)
        for name in names:
            click.echo(f"  {name:<{width}}  {discovery.summary(each, name)}")
            for line in discovery.needs(each, name):
                click.echo(f"  {'':<{width}}  {line}")


@main.command()
@click.argument("suite")
@click.option("--methods", metavar="NAME,…", help="Run only these methods of the suite.")
@click.option("--datasets", metavar="NAME,…", help="Run only these data sets of the suite.")
@click.option("--training", metavar="NAME,…", help="Run only natural, or only pgd, training.")
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
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Cells at a time, each in a process of its own; the results are the same.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say which cells would run and about how long it takes, and stop; downloads missing data.",
)
@click.option("--no-retry", is_flag=True, help="Leave cells that failed before as they are.")
def run(
    suite: str,
    methods: str | None,
    datasets: str | None,
    training: str | None,
    seeds: int | None,
    scale: float,
    device: str,
    precision: "Precision",
    results: Path | None,
    jobs: int,
    dry_run: bool,
    no_retry: bool,
) -> None:
    """Run SUITE (a name from `lapbench list suites`, or a TOML file) and report on it.

    Prints the leaderboard, and writes records, tables and figures into the results folder. Cells
    that are finished there are not run again. Exits with 1 if a cell failed, after finishing all
    others; `lapbench show KEY` prints its traceback.

    \b
    Examples:
      lapbench run default
      lapbench run default --methods gll --seeds 2 --results try
      lapbench run robustness --jobs 2
      lapbench run gll-table4-mnist --scale 0.1
      lapbench run my-suite.toml --dry-run
    """  # noqa: D301 - click takes the character for "keep these lines".
    with _explained_errors():
        from rich.console import Console

        from lapbench.job import prepare

        job = prepare(
            suite,
            results=results,
            methods=_names(methods),
            datasets=_names(datasets),
            training=_names(training),
            seeds=seeds,
            scale=scale,
            device=device,
            precision=precision,
            retry=not no_retry,
        )
        if dry_run:
            from lapbench.dry_run import print_dry_run

            print_dry_run(job, jobs, Console(stderr=True))
            return
        _print_report(job.run(Console(stderr=True), jobs))
        if failed := job.failed():
            click.echo(f"{len(failed)} of {len(job.selected)} cells failed", err=True)
            sys.exit(1)


class _ManyFigures(click.Command):
    """A command whose option ``--figures`` takes all names up to the next option or folder."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the names, so that ``--figures a b`` and ``--figures a,b`` are the same."""
        names: list[str] = []
        rest: list[str] = []
        naming = False
        for word in args:
            option, equals, value = word.partition("=")
            if option == "--figures":
                naming = True
                names += [value] if equals else []
            elif naming and not word.startswith("-") and not Path(word).is_dir():
                names.append(word)
            else:
                naming = False
                rest.append(word)
        if "--figures" in {word.partition("=")[0] for word in args}:
            rest += ["--figures", *([",".join(names)] if any(names) else [])]
        return super().parse_args(ctx, rest)


@main.command(cls=_ManyFigures)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Default: the results folder, if it is one; several need a folder of their own.",
)
@click.option(
    "--figures",
    metavar="NAME …",
    help="Only these, and what to run if their data are missing; they stand after RESULTS. "
    "Default: every figure whose data are there.",
)
def report(results: tuple[Path, ...], output: Path | None, figures: str | None) -> None:
    """Write page, tables and figures of the folders RESULTS, without running anything.

    The page is index.html, which needs nothing beside it. Tables come as Markdown, LaTeX and tidy
    CSV, figures as SVG, PDF and PNG, in the size of a column. Several folders, of other machines or
    suites, become one report; records of a cell that disagree are refused.

    \b
    Examples:
      lapbench report results/default
      lapbench report results/two-moons --figures gll-fig3 --output paper
      lapbench report results/monday results/tuesday --output results/both
    """  # noqa: D301
    with _explained_errors():
        from lapbench.report import write_report

        _print_report(write_report(results, output, _names(figures)))


@main.command()
@click.argument("key")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="A results folder, or a folder of them.",
)
def show(key: str, results: Path) -> None:
    """Print the record whose key begins with KEY: what was run, what came of it, and where."""
    with _explained_errors():
        from lapbench.show import describe

        click.echo(describe(key, results))


@main.command()
def info() -> None:
    """Print versions, processor and accelerators: what a report of a problem should contain."""
    from lapbench.show import describe_machine

    click.echo(describe_machine())


@contextmanager
def _explained_errors() -> Iterator[None]:
    """Turn a user's mistake into a message and exit status 2, without a traceback."""
    try:
        yield
    except LapbenchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("Stopped. What is finished is kept; the same command continues.", err=True)
        sys.exit(INTERRUPTED)


def _names(option: str | None) -> list[str]:
    return [name.strip() for name in option.split(",") if name.strip()] if option else []


def _print_report(report: "Report") -> None:
    from lapbench.terminal import print_report

    print_report(report)
