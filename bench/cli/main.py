"""The command line."""

from pathlib import Path

import click

from lapbench import discovery
from lapbench.cli.data import data
from lapbench.cli.errors import explained_errors
from lapbench.cli.run import names, run
from lapbench.cli.track import compare, history

KINDS = list(discovery.PACKAGES)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `lapbench run default`, ten minutes, and look into results/default. "
    "Nothing finished is lost: a run that was stopped continues where it was.",
)
@click.version_option(package_name="lapbench")
def main() -> None:
    """Compare graph (Laplacian) regularisers for neural networks on equal terms."""


for command in (run, compare, history, data):
    main.add_command(command)


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
    with explained_errors(unreadable=1):
        from lapbench.cli.terminal import print_report
        from lapbench.reporting.report import write_report

        print_report(write_report(results, output, names(figures)))


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
    with explained_errors(unreadable=1):
        from lapbench.cli.show import describe

        click.echo(describe(key, results))


@main.command()
def info() -> None:
    """Print versions, processor and accelerators: what a report of a problem should contain."""
    from lapbench.cli.show import describe_machine

    click.echo(describe_machine())
