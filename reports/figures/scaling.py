"""Time of each stage of a method against the number of samples, with fitted powers.

Needs: any suite with `stages = true` under `[evaluation]` and several sizes of a data set, such as
`lapbench run scaling`.
"""

import math
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lapbench.reports.colors import MARKERS, category_colors
from lapbench.reports.figures.base.layout import LINE, grid, heading, sheet
from lapbench.reports.results import Results, finite
from lapbench.reports.style import shown

PREFIX = "stage: "
TOTAL = "total"
CAPTION = "Medians over cells. Times are those of the processor, on a GPU of the clock on the wall."


def draw(results: Results) -> Figure | None:
    """One panel for every method timed at several sizes of a data set, or None."""
    records = results.records
    stages = finite(records[records["metric"].astype(str).str.startswith(PREFIX)])
    if stages.empty:
        return None
    family = stages["task"].str.partition(" (")[0]
    groups = stages.groupby([stages["method"], family, stages["backbone"]], sort=False)
    panels = [(names, rows) for names, rows in groups if rows["count"].nunique() > 1]
    if not panels:
        return None
    columns = min(len(panels), 2)
    tables = [(", ".join(names), seconds(rows)) for names, rows in panels]
    longest = max(len(table.columns) for _, table in tables)
    height = (2.4 + LINE * longest) * -(-len(panels) // columns)
    figure = sheet(height, columns, caption=CAPTION)
    for ax, (title, table) in zip(grid(figure, len(panels), columns), tables, strict=True):
        _draw_panel(ax, table)
        ax.set_title(heading(title, figure.get_figwidth() / columns), loc="left")
    return figure


def seconds(rows: pd.DataFrame) -> pd.DataFrame:
    """Seconds by samples (rows) and stage (columns), the last being the total.

    They are medians over the cells of a size. Times too short for the clock are missing.
    """
    table = rows.pivot_table("value", "count", "metric", "median", sort=False).sort_index()
    table.columns = table.columns.str.removeprefix(PREFIX)
    table[TOTAL] = table.sum(axis=1, skipna=False)
    return table.where(table > 0)


def power(column: pd.Series) -> float:
    """Power p of the fit time ~ n^p by least squares in logarithms; NaN below two sizes.

    Fitted to :func:`larger_half` of the sizes, as small ones show constant costs.
    """
    known = larger_half(column.dropna())
    if len(known) < 2:
        return math.nan
    sizes = np.log(known.index.to_numpy(dtype=float))
    return float(np.polyfit(sizes, np.log(known.to_numpy()), 1)[0])


def larger_half(column: pd.Series) -> pd.Series:
    """Larger half of the sizes with their times, at least two if there are two."""
    return column.iloc[-max((len(column) + 1) // 2, 2) :]


def _draw_panel(ax: Axes, table: pd.DataFrame) -> None:
    palette = category_colors(len(table.columns))
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
            label=shown(name) + ("" if math.isnan(p) else f", $n^{{{p:.1f}}}$"),
        )
    ax.set_xticks(table.index, [f"{size:,}" for size in table.index], minor=False)
    ax.set_xticks([], minor=True)
    ax.set(xlabel="samples n", ylabel="time of one pass [s]")
    ax.grid()
    fitted = f"slope from n = {larger_half(table[TOTAL]).index[0]:,} on" if len(table) > 1 else ""
    ax.legend(title=fitted, alignment="left", loc="upper left", bbox_to_anchor=(0, -0.2))
