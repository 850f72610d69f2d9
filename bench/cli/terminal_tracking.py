"""Two runs compared, and past runs, on the terminal; a comparison in Markdown too."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.measure import Measurement
from rich.table import Table

from lapbench.cli.terminal import WIDE, wide_console
from lapbench.reports.tracking.history import short_commit
from lapbench.reports.tracking.regression import BETTER, FAILING, ROW, SAME, UNDECIDED
from lapbench.reports.tracking.text import (
    ABSOLUTE,
    conclusion,
    describe_same,
    one_line,
    readable_lines,
)
from lapbench.tracking.history import SECONDS, History
from lapbench.tracking.regression import RunComparison

_WORD = 24
_STYLES = {**dict.fromkeys(FAILING, "bold red"), UNDECIDED: "yellow", BETTER: "green"}


def print_comparison(found: RunComparison, every: bool) -> None:
    """Print notes, lines and conclusion; those lines that are the same are counted, or printed too.

    In a file or a pipe nothing is wrapped; on a narrow terminal words of a table stay whole.
    """
    console = wide_console()
    for note in found.notes:
        console.print(one_line(note))
    about, texts = _shown(found, every)
    if len(texts):
        table = _table(about, texts)
        needed = Measurement.get(console, console.options.update(width=WIDE), table).minimum
        console.print(table, width=max(needed, console.width), crop=False)
    for sentence in _sentences(found, every):
        console.print(sentence)


def _table(about: str, texts: pd.DataFrame) -> Table:
    table = Table(title=about, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in texts.columns:
        longest = max(map(len, " ".join([column, *texts[column]]).split()))
        table.add_column(column, overflow="fold", min_width=min(longest, _WORD))
    for _, row in texts.iterrows():
        table.add_row(*row, style=_STYLES.get(row["verdict"]))
    return table


def append_markdown(found: RunComparison, every: bool, path: Path) -> None:
    """Append notes, lines and conclusion to a file; the conclusion comes first."""
    about, texts = _shown(found, every)
    *sentences, last = map(_escaped, _sentences(found, every))
    escaped = texts.map(_escaped)
    table = str(escaped.to_markdown(index=False, disable_numparse=True)) if len(texts) else ""
    notes = "\n".join(f"- {_escaped(one_line(note))}" for note in found.notes)
    parts = ["## Comparison with the baseline", f"**{last}**", notes, _escaped(about), table]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n\n".join(filter(None, [*parts, *sentences])) + "\n\n")


def _shown(found: RunComparison, every: bool) -> tuple[str, pd.DataFrame]:
    """Return the table of texts without the columns that all rows share, and these in words."""
    lines = found.lines if every else found.lines[found.lines["verdict"] != SAME]
    texts = readable_lines(lines)
    if texts.empty:
        return "", texts
    shared = [name for name in ROW if texts[name].nunique() == 1 and texts[name].iloc[0]]
    about = ", ".join(f"{name} {texts[name].iloc[0]}" for name in shared)
    return about, texts.drop(columns=shared)


def _sentences(found: RunComparison, every: bool) -> Iterator[str]:
    if not every and (same := describe_same(found.lines)):
        yield same
    yield ABSOLUTE
    yield conclusion(found.lines)


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in r"\`*_|<>[]#" else letter for letter in text)


def print_history(history: History) -> None:
    """Print the runs in order, what a reader must know of them, and the files written.

    In a file or a pipe nothing is wrapped.
    """
    console = wide_console()
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
