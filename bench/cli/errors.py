"""Errors of commands: a message and an exit status instead of a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from lapbench.errors import LapbenchError

MISTAKE = 2
INTERRUPTED = 130


@contextmanager
def explained_errors(unreadable: int = MISTAKE) -> Iterator[None]:
    """Turn an error into a message and exit status 2, and an interrupt into status 130.

    Args:
        unreadable: exit status where the system refuses to read or write.

    """
    try:
        yield
    except LapbenchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(MISTAKE)
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(unreadable)
    except KeyboardInterrupt:
        click.echo("Stopped. What is finished is kept; the same command continues.", err=True)
        sys.exit(INTERRUPTED)
