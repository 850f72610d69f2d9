"""A report on the terminal."""

from collections.abc import Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lapbench.reports.leaderboard import further_numbers, readable
from lapbench.reports.published import readable_published
from lapbench.reports.report import Report
from lapbench.reports.statistics.tests import is_marked

WIDE = 1000
"""Width in a file or a pipe, so that nothing is wrapped."""


def wide_console() -> Console:
    """Console on standard output; in a file or a pipe nothing is wrapped."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def print_report(report: Report) -> None:
    """Print leaderboard, further tables, conditions and the files written.

    Task, backbone and training are in the title if all rows share them.
    """
    console = wide_console()
    board = readable(report.board, report.published).map(_plain)
    shared = [name for name in ("task", "backbone", "training") if board[name].nunique() == 1]
    about = ", ".join(f"{name} {board[name].iloc[0]}" for name in shared)
    marked = board["against the best"].map(is_marked)
    _print_table(
        console, f"{_plain(report.title)}\n{about}", board.drop(columns=shared), list(marked)
    )
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
    for line in [*report.statistics, *report.conditions, *report.inapplicable]:
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


def _print_table(
    console: Console, title: str, rows: pd.DataFrame, bold: Sequence[bool] = ()
) -> None:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1))
    for column in rows.columns:
        numeric = rows[column].str[:1].str.isdigit().any()
        table.add_column(
            column,
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=bool(bold) and column in ("method", "gradient"),
        )
    for number, (_, row) in enumerate(rows.map(_plain).iterrows()):
        table.add_row(*row, style="bold" if bold and bold[number] else None)
    console.print(table)


def _plain(text: object) -> str:
    """Text without control characters, which records may contain."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "�" for letter in str(text)
    )
