"""The leaderboard: one row for every method on a task, as a table, Markdown and CSV."""

import math
from typing import Any

import numpy as np
import pandas as pd

from lapbench.reports.published import published_accuracies
from lapbench.reports.statistics.comparisons import comparisons
from lapbench.reports.statistics.tests import binomial_error, interval, is_marked

ROW = ["task", "backbone", "method", "training", "gradient"]
METRICS = [
    "accuracy",
    "negative_log_likelihood",
    "calibration_error",
    "step_ratio",
    "saved_megabytes",
    "saved_ratio",
]
SECONDS = ["step_seconds", "training_seconds"]
_OF_DATA = ["input_deviation"]
_TRACKED = ["gradient_error", "solve_iterations", "first_step_loss", "first_step_length"]
TIDY = [*ROW, "metric", "mean", "ci_low", "ci_high", "cells_ok", "cells_planned"]


def leaderboard(records: pd.DataFrame) -> pd.DataFrame:
    """Leaderboard in tidy form: one row for every method, task and metric.

    Columns: ``task, backbone, method, training, gradient, metric, mean, ci_low, ci_high, cells_ok,
    cells_planned``, then ``split``, ``count`` (samples of the split) and, for accuracies,
    ``against_best``. Methods of a task are ordered by mean accuracy; those with unfinished cells
    come last, as the finished ones may be the lucky ones.

    Args:
        records: the tidy frame of ``lapbench.load_records``; numbers under attacks are left out.

    """
    rows: list[dict[str, Any]] = []
    unattacked = records[records["attack"] == ""]
    for _, task in unattacked.groupby(["task", "backbone", "training"], sort=False):
        methods = dict(list(task.groupby("method", sort=False)))
        verdicts = comparisons(task).set_index("method")["verdict"]
        for name in sorted(methods, key=lambda name: _rank(methods[name])):
            rows += _rows(methods[name], str(verdicts.get(name, "")))
    return pd.DataFrame(rows, columns=[*TIDY, "split", "count", "against_best"])


def _rank(cells: pd.DataFrame) -> tuple[bool, float]:
    accuracies = _values(cells, "accuracy")
    finite = accuracies[np.isfinite(accuracies)]
    mean = float(finite.mean()) if len(finite) else 0.0
    return bool((cells["status"] != "ok").any()), -mean


def _values(cells: pd.DataFrame, metric: str) -> pd.Series:
    chosen = cells[cells["metric"] == metric]
    return chosen.set_index("repetition")["value"].astype(float)


def _rows(cells: pd.DataFrame, verdict: str) -> list[dict[str, Any]]:
    first = cells.iloc[0]
    fixed = {
        **{column: first[column] for column in ROW},
        "cells_ok": cells.loc[cells["status"] == "ok", "key"].nunique(),
        "cells_planned": cells["key"].nunique(),
    }
    rows = []
    measured = [str(metric) for metric in cells["metric"].dropna().unique()]
    others = METRICS + SECONDS + _OF_DATA + _TRACKED
    own = [m for m in measured if m not in others and not m.startswith("stage")]
    for metric in METRICS + own:
        values = _values(cells, metric)
        if values.empty and metric != "accuracy":
            continue
        numbers: dict[str, Any] = {}
        if len(values):
            about_mean = interval(list(values))
            sample = cells[cells["metric"] == metric].iloc[0]
            numbers = {
                "mean": about_mean.mean,
                "ci_low": about_mean.low,
                "ci_high": about_mean.high,
                "split": sample["split"],
                "count": int(sample["count"]),
            }
        about = {"metric": metric, "against_best": verdict if metric == "accuracy" else ""}
        rows.append({**fixed, **about, **numbers})
    return rows


def readable(board: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Leaderboard as a table of texts, one row for every method on a task.

    Args:
        board: of :func:`leaderboard`.
        published: numbers of papers, in the columns of :mod:`lapbench.reports.published`; their
            accuracies have a column of their own where any row corresponds to one.

    """
    rows = []
    printed = {} if published is None else published_accuracies(published)
    for names, metrics in board.groupby(ROW, sort=False):
        by_metric = metrics.set_index("metric")
        accuracy = by_metric.loc["accuracy"]
        error = binomial_error(accuracy["mean"], accuracy["count"])
        rows.append(
            {
                **dict(zip(ROW, names, strict=True)),
                "accuracy [%]": _with_interval(by_metric, "accuracy", 100, 2),
                "published [%]": printed.get(names[:4], "–"),
                "sampling error": "" if math.isnan(error) else f"{100 * error:.2f}",
                "NLL": _with_interval(by_metric, "negative_log_likelihood", 1, 3),
                "ECE [%]": _with_interval(by_metric, "calibration_error", 100, 2),
                "step / softmax": _with_interval(by_metric, "step_ratio", 1, 2),
                "saved [MB]": _with_interval(by_metric, "saved_megabytes", 1, 2),
                "cells": f"{accuracy['cells_ok']}/{accuracy['cells_planned']}",
                "against the best": accuracy["against_best"],
            }
        )
    table = pd.DataFrame(rows)
    return table if printed else table.drop(columns="published [%]")


def further_numbers(board: pd.DataFrame) -> pd.DataFrame:
    """Metrics that only some methods report, as texts."""
    own = board[~board["metric"].isin(METRICS)]
    rows = [
        {
            **{column: getattr(row, column) for column in ROW},
            "metric": row.metric,
            "split": row.split or "–",
            "mean": _with_interval(own.loc[[row.Index]].set_index("metric"), row.metric, 1, 4),
        }
        for row in own.itertuples()
    ]
    return pd.DataFrame(rows, columns=[*ROW, "metric", "split", "mean"])


def _with_interval(metrics: pd.DataFrame, metric: str, factor: float, digits: int) -> str:
    if metric not in metrics.index or math.isnan(metrics.loc[metric, "mean"]):
        return "–"
    mean, high = metrics.loc[metric, "mean"], metrics.loc[metric, "ci_high"]
    half = "" if math.isnan(high) else f" ± {factor * (high - mean):.{digits}f}"
    return f"{factor * mean:.{digits}f}{half}"


def unfinished(records: pd.DataFrame) -> list[str]:
    """Lines on planned cells without a result: status, reason, command for details."""
    cells = records[records["status"] != "ok"].drop_duplicates("key")
    return [
        f"{cell.method} on {cell.task}"
        + (f" ({cell.training} training)" if cell.training != "natural" else "")
        + f", repetition {cell.repetition}: {cell.status}"
        + (
            f" ({str(cell.reason).splitlines()[0]}); lapbench show {cell.key}"
            if cell.status != "not run"
            else ""
        )
        for cell in cells.itertuples()
    ]


def to_markdown(board: pd.DataFrame, published: pd.DataFrame | None = None) -> str:
    """Leaderboard as a Markdown table, the best accuracies in bold.

    Args:
        board: of :func:`leaderboard`.
        published: as for :func:`readable`.

    """
    table = readable(board, published)
    marked = table["against the best"].map(is_marked)
    table.loc[marked, "accuracy [%]"] = "**" + table.loc[marked, "accuracy [%]"] + "**"
    return str(
        table.map(lambda text: str(text).replace("|", r"\|")).to_markdown(
            index=False, disable_numparse=True
        )
    )


def to_csv(board: pd.DataFrame) -> str:
    """Leaderboard in tidy CSV, numbers in full precision."""
    return str(board.to_csv(index=False))
