"""Past runs of a suite on the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lapbench.reports.tracking.history import short_commit
from lapbench.reports.tracking.text import one_line
from lapbench.tracking.history import SECONDS, History

_WIDE = 1000


def print_history(history: History) -> None:
    """Print the runs in order, what a reader must know of them, and the files written.

    In a file or a pipe nothing is wrapped.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("folder", "commit", "date", "cells"):
        table.add_column(column, overflow="fold")
    for run in history.runs.itertuples():
        cells = f"{run.cells_ok}/{run.cells_planned}"
        table.add_row(*map(one_line, (run.run, short_commit(run.commit), run.started[:10], cells)))
    console.print(table)
    for note in [*history.notes, SECONDS]:
        console.print(one_line(note))
    console.print("Written:")
    for path in history.files:
        console.print(f"  {path}")
