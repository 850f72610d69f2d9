"""The command line's group ``data``: the files of data sets."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from lapbench import discovery
from lapbench.datasets.files.files import DataError, data_folder, describe_variable, find, read

if TYPE_CHECKING:
    from lapbench.datasets.base.data_files import DataFiles
    from lapbench.datasets.base.task import Dataset


def _known(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in discovery.names("datasets"):
            raise click.BadParameter(str(discovery.UnknownNameError("datasets", name)))
    return names


@click.group()
def data() -> None:
    """Download, check and find the files of data sets.

    They are in the folder that LAPBENCH_DATA names, in the layout of torchvision and
    torch_geometric, so existing files are found. `lapbench run` downloads missing files itself;
    fetch them first if the computing machine has no network.

    \b
    Examples:
      lapbench data where
      lapbench data fetch mnist cifar10
      LAPBENCH_DATA=~/data lapbench data verify mnist
    """  # noqa: D301 - click takes the character for "keep these lines".


@data.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True, callback=_known)
def fetch(names: tuple[str, ...]) -> None:
    """Download the missing files of data sets.

    They come from the first mirror that works. A file is stored only if it is complete and has
    the published MD5 sum. Existing files are neither downloaded nor changed.
    """
    _for_each(names, _fetch)


@data.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True, callback=_known)
def verify(names: tuple[str, ...]) -> None:
    """Compare the files of data sets with the published ones.

    The exit status is 1 if a file is missing or differs. Files may be gzipped or not. Citation
    graphs have no MD5 sums; their numbers of nodes, edges, features and classes are compared.
    """
    _for_each(names, _verify)


@data.command()
@click.argument("names", metavar="[NAME…]", nargs=-1, callback=_known)
def where(names: tuple[str, ...]) -> None:
    """Print where files are or belong, with publisher and licence."""
    click.echo(f"The data folder is {data_folder()}; it is set by {describe_variable()}.")
    _for_each(names or tuple(discovery.names("datasets")), _where)


def _for_each(names: tuple[str, ...], say: "Callable[[type[Dataset], DataFiles], bool]") -> None:
    """Call ``say`` for each data set with files; exit with 1 at the end if one failed."""
    right = True
    for name in names:
        kind = discovery.load("datasets", name)
        if kind.data_files:
            try:
                right &= say(kind, kind.data_files)
            except OSError as error:
                click.echo(f"Error: {error}", err=True)
                right = False
        elif "path" in kind.__dataclass_fields__:
            click.echo(f"{name}: your own files, which its option path names")
        else:
            click.echo(f"{name}: needs no files")
    if not right:
        sys.exit(1)


def _fetch(kind: "type[Dataset]", wanted: "DataFiles") -> bool:
    from lapbench.datasets.files.download import fetch as download

    there = [file for file in wanted.files if find(file)]
    click.echo(f"{wanted.name}: {len(there)} of {len(wanted.files)} files are there already")
    if len(there) < len(wanted.files):
        if wanted.others:
            _load(kind)
        download(wanted)
        for file in wanted.files:
            if file not in there:
                click.echo(f"  downloaded  {find(file)}")
    return True


def _verify(kind: "type[Dataset]", wanted: "DataFiles") -> bool:
    click.echo(f"{wanted.name}:")
    missing = [file for file in wanted.files if not find(file)]
    wrong = 0
    for file in wanted.files:
        try:
            if file in missing:
                click.echo(f"  missing  {data_folder() / file.places[0]}")
            else:
                read(wanted.name, file)
                click.echo(f"  {'right' if file.md5 else 'there'}    {find(file)}")
        except DataError as error:
            wrong += 1
            click.echo(f"  wrong    {error}")
    if missing:
        click.echo(f"`lapbench data fetch {wanted.name}` downloads what is missing")
    elif wanted.others and not wrong:
        _load(kind)
        click.echo("  right    as many nodes, edges, features and classes as published")
    return not missing and not wrong


def _where(_: "type[Dataset]", wanted: "DataFiles") -> bool:
    click.echo(f"{wanted.name}: {wanted.terms}")
    for file in wanted.files:
        path = find(file)
        state = "there  " if path else "missing"
        click.echo(f"  {state}  {path or data_folder() / file.places[0]}")
    return True


def _load(kind: "type[Dataset]") -> None:
    import numpy as np

    kind().load(np.random.default_rng(0))
