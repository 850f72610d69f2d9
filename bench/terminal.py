"""The leaderboard on the terminal."""

from rich.console import Console
from rich.table import Table

from lapbench.report import Report
from lapbench.reports.leaderboard import readable
from lapbench.reports.statistics import is_marked

_WIDTH_OF_A_FILE = 160


def print_report(report: Report) -> None:
    """Print the leaderboard, its conditions, the cells without a result, and the files written."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    board = readable(report.board)
    table = Table(title=report.title)
    for column in board.columns:
        table.add_column(column, justify="right" if board[column].map(_is_number).any() else "left")
    for _, row in board.iterrows():
        marked = is_marked(row["against the best"])
        table.add_row(*map(str, row), style="bold" if marked else None)
    console.print(table)
    for line in report.conditions:
        console.print(line)
    if report.unfinished:
        console.print("Cells without a result:")
        for line in report.unfinished:
            console.print(f"  {line}")
    console.print(f"Written: {', '.join(str(path) for path in report.files)}")


def _is_number(text: str) -> bool:
    return text[:1].isdigit()
