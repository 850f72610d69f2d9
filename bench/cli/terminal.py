"""The leaderboard on the terminal."""

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lapbench.reports.leaderboard import further_numbers, readable
from lapbench.reports.published import readable_published
from lapbench.reports.report import Report
from lapbench.reports.statistics.tests import is_marked

WIDE = 1000
"""Columns of a file or a pipe, in which nothing is to be wrapped."""


def wide_console() -> Console:
    """Return the console on standard output; in a file or a pipe nothing is wrapped."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def print_report(report: Report) -> None:
    """Print the leaderboard and all that a reader must know about it, and the files written.

    Task, backbone and training stand in the title where all rows share them. In a file or a pipe
    nothing is wrapped.
    """
    console = wide_console()
    board = readable(report.board, report.published).map(_plain)
    shared = [name for name in ("task", "backbone", "training") if board[name].nunique() == 1]
    about = ", ".join(f"{name} {board[name].iloc[0]}" for name in shared)
    table = Table(title=f"{_plain(report.title)}\n{about}", box=SIMPLE_HEAD, padding=(0, 1))
    for column in board.columns.drop(shared):
        numeric = board[column].str[:1].str.isdigit().any()
        named = column in ("method", "gradient")
        table.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=named
        )
    for _, row in board.iterrows():
        style = "bold" if is_marked(row["against the best"]) else None
        table.add_row(*row.drop(shared), style=style)
    console.print(table)
    further = further_numbers(report.board)
    if not further.empty:
        console.print("Numbers of single methods:")
        for row in further.drop(columns=[*shared, "gradient"]).itertuples(index=False):
            console.print(_plain(f"  {', '.join(row[:-1])}: {row[-1]}"))
    if not report.robustness.empty:
        _print_table(console, "Robustness", report.headline)
        for text in report.verdicts:
            console.print(_plain(text))
    if not report.published.empty:
        _print_table(console, "Published and measured", readable_published(report.published))
    for line in [*report.statistics, *report.conditions]:
        console.print(_plain(line))
    for line in report.inapplicable:
        console.print(_plain(line))
    if report.unfinished:
        console.print("Cells without a result:")
    for line in report.unfinished:
        console.print(_plain(f"  {line}"))
    page, *others = report.files
    console.print("Written:")
    for path in others:
        console.print(f"  {path}")
    console.print(f"The page, for a browser: {page.resolve()}")


def _print_table(console: Console, title: str, rows: pd.DataFrame) -> None:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1))
    for column in rows.columns:
        numeric = rows[column].str[:1].str.isdigit().any()
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for _, row in rows.map(_plain).iterrows():
        table.add_row(*row)
    console.print(table)


def _plain(text: object) -> str:
    """Return a text without letters that would steer the terminal, as records may hold any."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "�" for letter in str(text)
    )
