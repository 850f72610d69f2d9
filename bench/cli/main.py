"""The command ``lapbench`` and its short subcommands; the longer ones have files of their own."""

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
    epilog="Start with `lapbench run default`: about ten minutes, results in results/default. "
    "A stopped run continues when the same command is repeated.",
)
@click.version_option(package_name="lapbench")
def main() -> None:
    """Compare graph (Laplacian) regularisers for neural networks on equal terms."""


for command in (run, compare, history, data):
    main.add_command(command)


@main.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
def list_names(kind: str | None) -> None:
    """List methods, backbones, data sets, attacks, figures, suites.

    Installed plug-ins are listed too.
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
        """Join the names: ``--figures a b`` means ``--figures a,b``."""
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
    help="Folder of the report. Default: the results folder; required for several.",
)
@click.option(
    "--figures",
    metavar="NAME …",
    help="Draw only these figures; give them after RESULTS. Default: all with data.",
)
def report(results: tuple[Path, ...], output: Path | None, figures: str | None) -> None:
    """Write page, tables and figures of RESULTS; nothing is run.

    The page is index.html, a single file. Tables are written as Markdown, LaTeX and CSV, figures
    as SVG, PDF and PNG. Several folders, from other machines or suites, become one report. Records
    of one cell must not disagree.

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
    help="A results folder, or a folder of results folders.",
)
def show(key: str, results: Path) -> None:
    """Print one record: configuration, results and machine.

    KEY is the key of the record, or its first letters.
    """
    with explained_errors(unreadable=1):
        from lapbench.cli.show import describe

        click.echo(describe(key, results))


@main.command()
def info() -> None:
    """Print versions, processor and accelerators, for bug reports."""
    from lapbench.cli.show import describe_machine

    click.echo(describe_machine())
