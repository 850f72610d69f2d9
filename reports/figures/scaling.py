"""Time of each stage of a method against the number of samples, with fitted powers.

Times are those of the processor, on a GPU of the clock on the wall.

Needs: `lapbench run scaling`, or any suite with `stages = true` under `[evaluation]`.
"""

import math
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.results import Results

PREFIX = "stage: "
TOTAL = "total"
MARKERS = "os^Dv<>P"


def draw(results: Results) -> Figure | None:
    """Return one panel for every method timed at several sizes of a data set, or None."""
    stages = results.records[results.records["metric"].astype(str).str.startswith(PREFIX)]
    if stages.empty:
        return None
    family = stages["task"].str.partition(" (")[0]
    groups = stages.groupby([stages["method"], family, stages["backbone"]], sort=False)
    panels = [(names, rows) for names, rows in groups if rows["count"].nunique() > 1]
    if not panels:
        return None
    figure = Figure(figsize=(7.2, 0.4 + 3.9 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for ax, (names, rows) in zip(axes, panels, strict=True):
        _draw_panel(ax, seconds(rows))
        ax.set_title(", ".join(names), loc="left")
    return figure


def seconds(rows: pd.DataFrame) -> pd.DataFrame:
    """Return seconds by samples (rows) and stage (columns), the last being the total.

    They are medians over the cells of a size. Times too short for the clock are missing.
    """
    table = rows.pivot_table("value", "count", "metric", "median", sort=False).sort_index()
    table.columns = table.columns.str.removeprefix(PREFIX)
    table[TOTAL] = table.sum(axis=1, skipna=False)
    return table.where(table > 0)


def power(column: pd.Series) -> float:
    """Return p of the fit time ~ n^p by least squares in logarithms; NaN below two sizes.

    Fitted to :func:`larger_half` of the sizes, as small ones show constant costs.
    """
    known = larger_half(column.dropna())
    if len(known) < 2:
        return math.nan
    sizes = np.log(known.index.to_numpy(dtype=float))
    return float(np.polyfit(sizes, np.log(known.to_numpy()), 1)[0])


def larger_half(column: pd.Series) -> pd.Series:
    """Return the times of the larger half of the sizes, of two at least where there are two."""
    return column.iloc[-max((len(column) + 1) // 2, 2) :]


def _draw_panel(ax: Axes, table: pd.DataFrame) -> None:
    palette = seaborn.color_palette("colorblind", len(table.columns))
    styles = {
        name: {"color": color, "marker": marker, "linestyle": "-"}
        for name, color, marker in zip(table.columns, palette, cycle(MARKERS), strict=False)
    }
    styles[TOTAL] = {"color": "black", "marker": ".", "linestyle": "--"}
    # From the slowest to the fastest, as the lines end.
    for name in table.iloc[-1].sort_values(ascending=False).index:
        p = power(table[name])
        ax.loglog(
            table.index,
            table[name],
            **styles[name],
            label=name if math.isnan(p) else f"{name}, $n^{{{p:.1f}}}$",
        )
    ax.set_xticks(table.index, [f"{size:,}" for size in table.index], minor=False)
    ax.set_xticks([], minor=True)
    ax.set(xlabel="samples n", ylabel="time of one pass [s]")
    ax.grid(alpha=0.3)
    fitted = f"slope from n = {larger_half(table[TOTAL]).index[0]:,} on" if len(table) > 1 else ""
    ax.legend(
        title=fitted, alignment="left", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False
    )
    seaborn.despine(ax=ax)
