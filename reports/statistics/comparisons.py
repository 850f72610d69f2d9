"""Each method against the best of its task, with differences, intervals and p-values."""

import math
from typing import Any

import numpy as np
import pandas as pd

from lapbench.reports.statistics.tests import PairedComparison, compare, describe_p

_GROUP = ["task", "backbone", "training"]
COLUMNS = [
    *_GROUP,
    "method",
    "best",
    "repetitions",
    "not_finite",
    "difference",
    "ci_low",
    "ci_high",
    "p",
    "p_holm",
    "p_wilcoxon",
    "verdict",
]


def comparisons(records: pd.DataFrame) -> pd.DataFrame:
    """Comparison of each method with the best of its task, in tidy form.

    Columns: ``task, backbone, training``, within which methods are compared; ``method, best``;
    ``repetitions`` in common and ``not_finite``, the accuracies of the method that are left out;
    ``difference`` (the method minus the best) with its 95 % t-interval ``ci_low, ci_high``, in
    points of per cent; ``p`` of the paired t test, ``p_holm`` and ``p_wilcoxon`` after Holm's
    correction; ``verdict``, as on the leaderboard. What was not tested is missing; see
    :func:`lapbench.reports.statistics.tests.compare`. Methods are ordered by mean accuracy. Those
    with unfinished cells are not compared, as the finished ones may be the lucky ones, and come
    last.

    Args:
        records: the tidy frame of ``lapbench.load_records``; numbers under attacks are left out.

    """
    rows: list[dict[str, Any]] = []
    for names, group in records[records["attack"] == ""].groupby(_GROUP, sort=False):
        methods = {str(name): cells for name, cells in group.groupby("method", sort=False)}
        values = {method: _accuracies(cells) for method, cells in methods.items()}
        results = compare({m: own for m, own in values.items() if _is_finished(methods[m])})
        compared = sorted(results, key=lambda method: _place(values[method], results[method]))
        for method in compared:
            left_out = int((~np.isfinite(values[method])).sum())
            about = {"method": method, "not_finite": left_out, **_numbers(results[method])}
            rows.append({**dict(zip(_GROUP, names, strict=True)), **about})
        for method in values:
            if method not in results and len(values[method]):
                about = {"method": method, "best": "", "verdict": _shortfall(methods[method])}
                rows.append({**dict(zip(_GROUP, names, strict=True)), **about})
    table = pd.DataFrame(rows, columns=COLUMNS)
    counts = ["repetitions", "not_finite"]
    return table.assign(**{name: table[name].fillna(0).astype(int) for name in counts})


def _accuracies(cells: pd.DataFrame) -> pd.Series:
    own = cells[cells["metric"] == "accuracy"]
    return own.set_index("repetition")["value"].astype(float)


def _is_finished(cells: pd.DataFrame) -> bool:
    return bool((cells["status"] == "ok").all() and (cells["metric"] == "accuracy").any())


def _shortfall(cells: pd.DataFrame) -> str:
    ok = cells.loc[cells["status"] == "ok", "key"].nunique()
    return f"unfinished ({ok} of {cells['key'].nunique()} cells)"


def _place(values: pd.Series, own: PairedComparison) -> tuple[bool, float]:
    finite = values[np.isfinite(values)]
    return own.verdict != "best", -float(finite.mean()) if len(finite) else math.inf


def _numbers(own: PairedComparison) -> dict[str, Any]:
    return {
        "best": own.best,
        "repetitions": own.repetitions,
        "difference": 100 * own.difference.mean,
        "ci_low": 100 * own.difference.low,
        "ci_high": 100 * own.difference.high,
        "p": own.p,
        "p_holm": own.p_holm,
        "p_wilcoxon": own.p_wilcoxon,
        "verdict": own.verdict,
    }


def readable_comparisons(table: pd.DataFrame) -> pd.DataFrame:
    """Table of :func:`comparisons` as texts, one row for every method on a task."""
    columns = {
        "difference [points]": [_difference(row) for row in table.itertuples()],
        "repetitions": [_repetitions(row) for row in table.itertuples()],
        "p, paired t": table["p"].map(_number),
        "p, Holm": table["p_holm"].map(_number),
        "p, Wilcoxon and Holm": table["p_wilcoxon"].map(_number),
        "verdict": table["verdict"].str.partition(" (")[0] if len(table) else [],
    }
    texts = table[[*_GROUP, "method", "best"]].replace({"best": {"": "–"}})
    return texts.assign(**columns)


def _difference(row: Any) -> str:
    if math.isnan(row.difference):
        return "–"
    half = "" if math.isnan(row.ci_high) else f" ± {row.ci_high - row.difference:.2f}"
    return f"{row.difference:.2f}{half}".replace("-", "−")


def _repetitions(row: Any) -> str:
    return f"{row.repetitions}" + (f" ({row.not_finite} not finite)" if row.not_finite else "")


def _number(p: float) -> str:
    return "–" if math.isnan(p) else describe_p(p).removeprefix("p ").removeprefix("= ")
