"""The data of figures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lapbench.reports.colors import Styles, method_colors, method_styles
from lapbench.reports.published import COLUMNS as PUBLISHED

Arrays = Mapping[str, np.ndarray[Any, Any]]
Curves = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, eq=False)
class Results:
    """The tidy records of a results folder, with the arrays and curves stored beside them.

    Attributes:
        records: the frame of ``lapbench.load_records``.
        arrays: from a key to its named arrays, empty if there are none.
        curves: from a key to its named curves, a number an epoch or None; empty likewise.
        published: the numbers of papers that correspond to rows of the records, in the columns of
            :mod:`lapbench.reports.published`.

    """

    records: pd.DataFrame
    arrays: Callable[[str], Arrays]
    curves: Callable[[str], Curves]
    published: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PUBLISHED))

    def colors(self) -> dict[str, str]:
        """Colour of each method as "#rrggbb", the same in every figure."""
        return method_colors(self.records["method"].unique())

    def styles(self) -> Styles:
        """Marker and colour of each method, the same in every figure."""
        return method_styles(self.records["method"].unique())


def finite(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose value is a finite number."""
    return rows[np.isfinite(pd.to_numeric(rows["value"]))]


def panels_of_methods(
    results: Results, read: Callable[[pd.DataFrame], dict[Any, Any]]
) -> Iterator[tuple[str, dict[str, dict[Any, Any]]]]:
    """Yield the title of each panel with what is read of the cells of each method, if anything."""
    for title, group in panels(results.records.drop_duplicates("key")):
        methods = group.groupby("method")
        yield title, {str(method): content for method, rows in methods if (content := read(rows))}


def panels(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield title and rows of each task, backbone and kind of training, which share a panel."""
    for names, group in rows.groupby(["task", "backbone", "training"], sort=False):
        yield f"{', '.join(map(str, names))} training", group
