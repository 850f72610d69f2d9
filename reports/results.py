"""What a figure is drawn from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn

Arrays = Mapping[str, np.ndarray[Any, Any]]
Curves = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, eq=False)
class Results:
    """The tidy records of a results folder, with the arrays and curves stored beside them.

    Attributes:
        records: the frame of ``lapbench.load_records``.
        arrays: from a key to its named arrays, empty if there are none.
        curves: from a key to its named curves, a number an epoch or None; empty likewise.

    """

    records: pd.DataFrame
    arrays: Callable[[str], Arrays]
    curves: Callable[[str], Curves]

    def colors(self) -> dict[str, Any]:
        """Return a colour-blind-safe colour for each method, the same in every figure."""
        methods = sorted(self.records["method"].unique())
        palette = seaborn.color_palette("colorblind", len(methods))
        return dict(zip(methods, palette, strict=True))


def panels(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield title and rows of each task, backbone and kind of training, which share a panel."""
    for names, group in rows.groupby(["task", "backbone", "training"], sort=False):
        yield f"{', '.join(map(str, names))} training", group
