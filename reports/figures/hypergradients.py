"""Error, direction, time and memory of unrolled hypergradients against inner steps.

Needs: any suite with unrolled `bilevel` on a node task at several `inner_steps`, such as
`lapbench run hypergradients`; `stages = true` under `[evaluation]` adds the times.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lapbench.reports.colors import category_colors
from lapbench.reports.figures.base.layout import entry, heading, sheet
from lapbench.reports.results import Results
from lapbench.reports.style import SMALL

ERROR = "hypergradient_error"
COSINE = "hypergradient_cosine"
LABELS = {
    ERROR: "relative error",
    COSINE: "cosine",
    "stage: hypergradient": "time [s]",
    "hypergradient_megabytes": "kept for backward [MB]",
}
STYLES: dict[str, Any] = {"": "-", "float64": "-", "float32": "--"}
LIMIT = 1e6
ROW = 0.055
CAPTION = (
    "Error and cosine: against the implicit hypergradient. Line: median over repetitions. Point: a "
    "repetition. Triangle: above 10⁶. Dotted: error of a hypergradient of 0. "
    "Fractions: repetitions whose hypergradient overflowed, of all, in the colour and style "
    "of their line. In the median of the errors they are infinite, in that of the cosines left "
    "out."
)
PARAMETER = re.compile(r"(?:\(|, )(?:\w+\.)?(\w+)=(.*?)(?=, [\w.]+=|\)$)")


def draw(results: Results) -> Figure | None:
    """Column of panels for each task and start of the inner steps.

    It is None if no hypergradient was compared with the implicit one at inner steps that differ.
    """
    records = results.records
    if not (records["metric"] == ERROR).any():
        return None
    cells = compared(records)
    unrolled = cells[(cells["gradient"] != "implicit") & cells["inner_steps"].notna()]
    if unrolled.empty:
        return None
    columns = list(unrolled.groupby(["task", "start"], dropna=False))
    lines = sorted(unrolled["line"].unique())
    colors = dict(zip(lines, category_colors(len(lines)), strict=True))
    figure = sheet(7, len(columns), _legend(cells, unrolled, colors), CAPTION)
    shape: dict[str, Any] = {"sharex": True, "sharey": "row", "height_ratios": [1.7, 1, 1, 1]}
    grid = figure.subplots(len(LABELS), len(columns), squeeze=False, **shape)
    for axes, ((task, start), rows) in zip(grid.T, columns, strict=True):
        implicit = cells[(cells["gradient"] == "implicit") & (cells["task"] == task)]
        for ax, metric in zip(axes, LABELS, strict=True):
            _draw_panel(ax, rows, metric, colors)
            if implicit[metric].notna().any():
                ax.axhline(implicit[metric].median(), color="black", linestyle="-.")
        about = heading(task, figure.get_figwidth() / len(columns))
        axes[0].set_title(f"{about}{_title(start)}", loc="left")
        axes[-1].set_xlabel("inner steps")
    _mark_overflow(grid[0], [rows for _, rows in columns], colors)
    for ax, label in zip(grid[:, 0], LABELS.values(), strict=True):
        ax.set_ylabel(label)
    return figure


def _legend(cells: pd.DataFrame, unrolled: pd.DataFrame, colors: dict[str, str]) -> list[Line2D]:
    legend = [entry(line, color=color) for line, color in colors.items()]
    for precision in filter(None, sorted(unrolled["precision"].unique(), reverse=True)):
        legend.append(entry(precision, color="grey", linestyle=STYLES[precision]))
    if (cells["gradient"] == "implicit").any():
        legend.append(entry("implicit", color="black", linestyle="-."))
    return legend


def settings(method: str) -> dict[str, Any]:
    """Parameters that the name of a method states; what is not JSON is text.

    Example:
        >>> settings("bilevel (inner_steps=100, inner_optimizer=adam)")
        {'inner_steps': 100, 'inner_optimizer': 'adam'}

    """
    stated = {}
    for name, text in PARAMETER.findall(method):
        try:
            stated[name] = json.loads(text)
        except json.JSONDecodeError:
            stated[name] = text
    return stated


def compared(records: pd.DataFrame) -> pd.DataFrame:
    """Row for each finished cell of eq. 1 with its numbers, and what tells it apart.

    The error of an unrolled hypergradient that overflowed is infinite, its cosine missing.
    """
    rows = records[(records["status"] == "ok") & records["metric"].isin(LABELS)]
    names = ["key", "task", "method", "gradient", "repetition"]
    cells = rows.pivot_table("value", names, "metric").reindex(columns=list(LABELS)).reset_index()
    stated = cells["method"].map(settings)
    cells = cells.assign(
        inner_steps=[each.get("inner_steps", np.nan) for each in stated],
        precision=[each.get("precision", "") for each in stated],
        start=[each.get("inner_start", np.nan) for each in stated],
        line=[_line(each) for each in stated],
    )
    overflown = cells[ERROR].isna() & (cells["gradient"] != "implicit")
    cells.loc[overflown, ERROR] = np.inf
    return cells[[each.get("inner") != "network" for each in stated]]


def _title(deviation: float) -> str:
    if np.isnan(deviation):
        return ""
    return f"\nstart: normal, σ = {deviation:g}" if deviation else "\nstart: zeros"


def _line(stated: dict[str, Any]) -> str:
    optimizer, rate = stated.get("inner_optimizer"), stated.get("inner_learning_rate")
    unit = "" if optimizer in (None, "adam") else "/L"
    parts = [optimizer, None if rate is None else f"rate {rate:g}{unit}"]
    if stated.get("hypergradient") == "truncated":
        parts.append(
            f"last {stated['truncation']} steps" if "truncation" in stated else "truncated"
        )
    return ", ".join(part for part in parts if part) or "unrolled"


def _draw_panel(ax: Axes, rows: pd.DataFrame, metric: str, colors: dict[str, str]) -> None:
    # Lines that coincide, as those of the memory do, stay visible by their widths.
    widths = dict(zip(colors, np.linspace(2.4, 1.0, len(colors)), strict=True))
    for (line, precision), group in rows.groupby(["line", "precision"]):
        medians = group.groupby("inner_steps")[metric].median()
        medians = medians.where(np.isfinite(medians)).clip(upper=LIMIT)
        style = {"linestyle": STYLES[precision], "linewidth": widths[line]}
        ax.plot(medians.index, medians, color=colors[line], **style)
        for inside, marker in ((group[metric] <= LIMIT, "o"), (group[metric] > LIMIT, "^")):
            shown = group[inside & np.isfinite(group[metric])]
            ax.scatter(
                shown["inner_steps"],
                shown[metric].clip(upper=LIMIT),
                color=colors[line],
                marker=marker,
                s=8,
                alpha=0.5,
                linewidths=0,
            )
    ax.set_xscale("log")
    if metric == COSINE:
        ax.set_ylim(-1.05, 1.05)
    else:
        ax.set_yscale("log")
    if metric == ERROR:
        ax.axhline(1, color="black", linestyle=":", linewidth=0.8)
    steps = sorted(rows["inner_steps"].unique())
    ax.set_xticks(steps, [f"{count:.0f}" for count in steps])
    ax.set_xticks([], minor=True)
    ax.grid()


def _mark_overflow(
    axes: Sequence[Axes], columns: list[pd.DataFrame], colors: dict[str, str]
) -> None:
    """Write above the errors how many overflowed, in a row for each line of which some did."""
    counts = [
        rows.assign(overflown=np.isinf(rows[ERROR]))
        .groupby(["line", "precision", "inner_steps"])["overflown"]
        .agg(["sum", "size"])
        .query("sum > 0")
        for rows in columns
    ]
    kinds = sorted({(line, precision) for table in counts for line, precision, _ in table.index})
    errors = pd.concat(columns)[ERROR].clip(upper=LIMIT)
    low, high = np.log10([errors[errors > 0].min() / 2, 2 * max(errors.max(), 1)])
    edge = 1 - ROW * len(kinds)
    axes[0].set_ylim(10**low, 10 ** (low + (high - low) / edge))
    axes[0].set_yticks([tick for tick in axes[0].get_yticks() if 10**low <= tick <= 10**high])
    axes[0].set_yticks([], minor=True)
    if kinds:
        text = axes[0].text(-0.02, (1 + edge) / 2, "overflow", transform=axes[0].transAxes)
        text.set(fontsize=SMALL, ha="right", va="center")
    for ax, table in zip(axes, counts, strict=True):
        for row, (line, precision) in enumerate(kinds):
            y, color = 1 - ROW * (row + 0.5), colors[line]
            style = {"color": color, "linestyle": STYLES[precision], "alpha": 0.4}
            ax.plot([0, 1], [y, y], transform=ax.transAxes, linewidth=1, **style)
            for (*kind, steps), (some, all_) in table.iterrows():
                if kind == [line, precision]:
                    text = ax.text(steps, y, f"{some}/{all_}", transform=ax.get_xaxis_transform())
                    text.set(color=color, fontsize=SMALL, weight="bold", ha="center", va="center")
                    text.set_bbox({"color": "white", "pad": 0.5})
