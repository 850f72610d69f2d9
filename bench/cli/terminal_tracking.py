"""A comparison on the terminal and in Markdown, and past runs on the terminal."""

from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lapbench.cli.terminal import wide_console
from lapbench.reports.tracking.history import short_commit
from lapbench.reports.tracking.regression import BETTER, FAILING, SAME, UNDECIDED
from lapbench.reports.tracking.text import conclusion, one_line, readable_lines
from lapbench.tracking.history import SECONDS, History
from lapbench.tracking.regression import RunComparison

_STYLES = {**dict.fromkeys(FAILING, "bold red"), UNDECIDED: "yellow", BETTER: "green"}


def print_comparison(comparison: RunComparison, every: bool) -> None:
    """Print notes, lines and conclusion; lines that are the same only if every line is wanted."""
    console = wide_console()
    for note in comparison.notes:
        console.print(one_line(note))
    texts = _texts(comparison, every)
    if len(texts):
        console.print(_table(texts))
    console.print(conclusion(comparison.lines))


def append_markdown(comparison: RunComparison, every: bool, path: Path) -> None:
    """Append the same to a file; the conclusion comes first."""
    texts = _texts(comparison, every).map(_escaped)
    table = str(texts.to_markdown(index=False, disable_numparse=True)) if len(texts) else ""
    notes = "\n".join(f"- {_escaped(one_line(note))}" for note in comparison.notes)
    last = f"**{_escaped(conclusion(comparison.lines))}**"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n\n".join(["## Comparison with the baseline", last, notes, table]) + "\n\n")


def _texts(comparison: RunComparison, every: bool) -> pd.DataFrame:
    lines = comparison.lines
    return readable_lines(lines if every else lines[lines["verdict"] != SAME])


def _table(texts: pd.DataFrame) -> Table:
    table = Table(*texts.columns, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in table.columns:
        column.overflow = "fold"
    for row in texts.to_dict("records"):
        table.add_row(*row.values(), style=_STYLES.get(row.get("verdict", "")))
    return table


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in r"\`*_|<>[]#" else letter for letter in text)


def print_history(history: History) -> None:
    """Print the runs in order, notes on them, and the files written."""
    console = wide_console()
    runs = history.runs
    commits, dates = runs["commit"].map(short_commit), runs["started"].str[:10]
    console.print(_table(runs.assign(commit=commits, started=dates).map(one_line)))
    for note in [*history.notes, SECONDS]:
        console.print(one_line(note))
    console.print("Written:")
    for path in history.files:
        console.print(f"  {path}")
