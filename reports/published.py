"""Published numbers beside those that were measured.

A frame of published numbers has a row for every number of a paper that corresponds to a row of the
leaderboard. Its columns are the names of that row; ``attack, norm, parameter, level`` as in the
tidy records, empty and 0 without an attack; ``metric``; ``published``, a share; ``source``: paper,
table, row, column; and ``remarks``: how budgets differ, and caveats.
"""

import math
from typing import Any

import pandas as pd

from lapbench.reports.statistics.tests import interval

ROW = ["task", "backbone", "method", "training"]
NUMBER = ["attack", "norm", "parameter", "level", "metric"]
COLUMNS = [*ROW, *NUMBER, "published", "source", "remarks"]
MEASURED = ["measured", "ci_low", "ci_high", "repetitions", "difference"]


def beside_measured(published: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Each published number with the measured mean, interval and difference.

    Adds ``measured, ci_low, ci_high`` over the ``repetitions``, of an attack after its last step,
    and ``difference`` = measured − published; all but the count are NaN without a measurement.

    Args:
        published: in the columns of this module.
        records: the tidy frame of ``lapbench.load_records``.

    """
    keys = [*ROW, *NUMBER]
    concerned = records[records["task"].isin(published["task"])]
    measured = {
        names: group.loc[group["steps"] == group["steps"].max(), "value"].astype(float)
        for names, group in concerned.groupby(keys, sort=False)
    }
    rows = []
    for row in published.to_dict("records"):
        values = [v for v in measured.get(tuple(row[key] for key in keys), []) if math.isfinite(v)]
        about = interval(values)
        numbers = about.mean, about.low, about.high, len(values), about.mean - row["published"]
        rows.append({**row, **dict(zip(MEASURED, numbers, strict=True))})
    return pd.DataFrame(rows, columns=[*COLUMNS, *MEASURED])


def readable_published(compared: pd.DataFrame) -> pd.DataFrame:
    """Table of texts with published and measured numbers, one row for each number.

    Args:
        compared: of :func:`beside_measured`.

    """
    rows = [
        {
            **{name: getattr(row, name) for name in ROW},
            "number": _number(row),
            "published [%]": _percent(row.published),
            "measured [%]": _measured(row),
            "difference [points]": _points(row.difference),
            "source": row.source,
            "remarks": row.remarks,
        }
        for row in compared.itertuples()
    ]
    return pd.DataFrame(rows)


def describe(published: pd.DataFrame, total: int) -> str:
    """Sentence on the number of published numbers that correspond to a row."""
    return (
        f"Published: {published['source'].nunique()} of the {total} numbers of the papers' tables "
        "have a row here, that is, the same data, labels, backbone, method, attack and units."
    )


def published_accuracies(published: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """Accuracies of papers in per cent, by row of the leaderboard."""
    rows = published[(published["attack"] == "") & (published["metric"] == "accuracy")]
    return {
        tuple(names): ", ".join(dict.fromkeys(map(_percent, group["published"])))
        for names, group in rows.groupby(ROW, sort=False)
    }


def _number(row: Any) -> str:
    metric = str(row.metric).replace("_", " ")
    if not row.attack:
        return metric
    norm = " l2" if row.norm == "l2" else ""
    symbol = {"epsilon": "ε"}.get(row.parameter, row.parameter)
    return f"{metric}, {row.attack}{norm}, {symbol} = {row.level:g}"


def _percent(share: float) -> str:
    """Share in per cent, with a second decimal where it is not 0."""
    return f"{100 * share:.2f}".removesuffix("0")


def _measured(row: Any) -> str:
    if math.isnan(row.measured):
        return "–"
    half = "" if math.isnan(row.ci_high) else f" ± {100 * (row.ci_high - row.measured):.2f}"
    return f"{100 * row.measured:.2f}{half}"


def _points(difference: float) -> str:
    return "–" if math.isnan(difference) else f"{100 * difference:+.2f}"
