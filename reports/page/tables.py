"""Tables of the page: texts in rows that a reader can sort and filter."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

_PLACE = ("task", "backbone", "training")
_SIZE = r"(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|nan|inf)"
# Such as "< 1", "−0.50 ± 0.12", "5/5", "99.21, 99.4" or "0.1 normalised (0.03 of the input)".
_NUMBER = re.compile(rf"(?:< )?[-+−]?{_SIZE}(?:(?: ± |/|, ){_SIZE})*(?: [a-z ]*\(.*\))?")
_MISSING = ("", "–")
_WIDE = 40


@dataclass(frozen=True)
class Entry:
    """A text in a table.

    Attributes:
        text: what the column is sorted by.
        note: a remark below it.
        kind: "best", "pass" or "fail" where its style repeats what a text says.
        bar: low end, mean and high end of its interval, in per cent of the width of the column.

    """

    text: str
    note: str = ""
    kind: str = ""
    bar: tuple[float, ...] | None = None


Entries = Mapping[str, Entry]
"""By the names of their columns."""


@dataclass(frozen=True)
class Row:
    """The entries of a row, and what it is filtered by: statuses are separated by spaces."""

    entries: list[Entry]
    task: str
    training: str
    status: str


@dataclass(frozen=True)
class Column:
    """The head of a column, whether its order is that of numbers, and whether texts are long."""

    name: str
    numeric: bool
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page; its first column names the rows."""

    caption: str
    columns: list[Column]
    rows: list[Row]


def make_table(caption: str, rows: Sequence[Entries], statuses: Sequence[str] = ()) -> Table:
    """Table, with what all rows share of task, backbone and training in its caption.

    Args:
        caption: what the table shows; may be empty.
        rows: with the same columns.
        statuses: of the cells of each row.

    """
    names = list(rows[0]) if rows else []
    shared = [name for name in _PLACE if name in names and len({r[name].text for r in rows}) == 1]
    shown = [name for name in names if name not in shared]
    head = "method" if "method" in shown else next((n for n in shown if n not in _PLACE), "")
    shown.sort(key=lambda name: name != head)
    place = ", ".join(
        rows[0][name].text + (" training" if name == "training" else "") for name in shared
    )
    none = Entry("")
    return Table(
        ": ".join(filter(None, [caption, place])),
        [_column(name, [row[name].text for row in rows]) for name in shown],
        [
            Row(
                [row[name] for name in shown],
                row.get("task", none).text,
                row.get("training", none).text,
                statuses[number] if statuses else "",
            )
            for number, row in enumerate(rows)
        ],
    )


def table_of_texts(caption: str, texts: pd.DataFrame) -> Table:
    """Table of the texts of a frame."""
    rows = texts.to_dict("records")
    return make_table(
        caption, [{str(name): Entry(str(text)) for name, text in row.items()} for row in rows]
    )


def _column(name: str, texts: list[str]) -> Column:
    present = [text for text in texts if text not in _MISSING]
    return Column(
        name,
        numeric=bool(present) and all(_NUMBER.fullmatch(text) for text in present),
        wide=max(map(len, texts)) > _WIDE,
    )
