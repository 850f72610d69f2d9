"""Robustness: the worst case of every method, and each attack beside it."""

import math
from typing import Any

import pandas as pd

from lapbench.reports.statistics.tests import interval

ROW = ["task", "backbone", "method", "training"]
LEVEL = ["attack", "norm", "parameter", "level", "steps", "metric"]
CLEAN, WORST = "none", "worst case"
ACCURACY = "robust_accuracy"
VERDICTS = ["verified", "unsafe", "timeout"]


def robustness(records: pd.DataFrame) -> pd.DataFrame:
    """Numbers under attack in tidy form: one row for each method, attack, level and metric.

    Columns: ``task, backbone, method, training, attack, norm, parameter, level, steps, metric``,
    ``mean, ci_low, ci_high`` over the repetitions, and ``repetitions, count`` (samples).

    Args:
        records: the tidy frame of ``lapbench.load_records``.

    """
    attacked = records[records["attack"] != ""]
    rows = []
    for names, group in attacked.groupby([*ROW, *LEVEL], sort=False):
        about = interval(list(group["value"].astype(float)))
        rows.append(
            {
                **dict(zip([*ROW, *LEVEL], names, strict=True)),
                "mean": about.mean,
                "ci_low": about.low,
                "ci_high": about.high,
                "repetitions": len(group),
                "count": int(group["count"].iloc[0]),
            }
        )
    columns = [*ROW, *LEVEL, "mean", "ci_low", "ci_high", "repetitions", "count"]
    return pd.DataFrame(rows, columns=columns)


def headline(board: pd.DataFrame, flags: pd.DataFrame) -> pd.DataFrame:
    """Worst case of every method as texts, best first within a task and training.

    The worst case of a sample is over all attacks; "jointly" and "one at a time" predict each
    sample's worst candidate again, all in one batch, and each alone among clean samples.

    Args:
        board: of :func:`robustness`.
        flags: one row a cell and check: ``task, backbone, method, training, repetition, name,
            verdict, evidence``.

    """
    rows = []
    checks = by_row(flags)
    for names, group in board.groupby(ROW, sort=False):
        values = numbers(group)
        radius = headline_radius(group)
        worst = values.get((WORST, ACCURACY, radius))
        if radius is None or worst is None:
            continue
        rows.append(
            {
                **dict(zip(ROW, names, strict=True)),
                "ε": describe_radius(group, radius),
                "unattacked [%]": percent(values.get((CLEAN, ACCURACY, 0.0))),
                "worst case [%]": percent(worst),
                "jointly": percent(values.get((WORST, "joint_accuracy", radius))),
                "one at a time": percent(values.get((WORST, "single_accuracy", radius))),
                "strongest attack": _strongest(group),
                "failed checks": _failed_checks(checks.get(names, flags.iloc[:0])),
                "_order": -worst.mean,
            }
        )
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    order = table.groupby(["task", "backbone", "training"], sort=False).ngroup()
    table = table.assign(_group=order).sort_values(["_group", "_order"], kind="stable")
    return table.drop(columns=["_order", "_group"])


def numbers(group: pd.DataFrame) -> dict[tuple[str, str, float | None], Any]:
    """Rows of a method by attack, metric and level."""
    return {(row.attack, row.metric, row.level): row for row in group.itertuples()}


def by_row(flags: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """All flags of each method, by its names."""
    return dict(list(flags.groupby(ROW, sort=False)))


def _failed_checks(own: pd.DataFrame) -> str:
    made = own[own["verdict"].isin(["pass", "fail"])]
    if made.empty:
        return "–"
    texts = [
        f"{name} {int((group['verdict'] == 'fail').sum())}/{len(group)}"
        for name, group in made.groupby("name", sort=False)
        if (group["verdict"] == "fail").any()
    ]
    return ", ".join(texts) or f"none of {made['name'].nunique()}"


def describe_radius(group: pd.DataFrame, radius: float) -> str:
    """Radius ε of the worst case in words; normalised ε also in units of the input."""
    converted = _input_epsilons(group).get((WORST, radius))
    units = f" normalised ({converted:.3g} of the input)" if converted is not None else ""
    return f"{radius:g}{units}"


def headline_radius(group: pd.DataFrame) -> float | None:
    """Radius ε of the headline: the level with a joint prediction of the worst candidates."""
    joint = group.loc[group["metric"] == "joint_accuracy", "level"]
    return None if joint.empty else float(joint.iloc[0])


def _strongest(group: pd.DataFrame) -> str:
    inside = group[group["metric"] == "headline_accuracy"].dropna(subset="mean")
    if inside.empty:
        return "–"
    best = inside.loc[inside["mean"].idxmin()]
    return f"{best['attack']} ({100 * best['mean']:.1f})"


def each_attack(board: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under every attack after its last step: a row a level, a column a method.

    Rows are grouped by task, backbone and training. Verification has a row for each verdict.
    """
    shares = board[board["metric"].isin([ACCURACY, *VERDICTS])]
    last = shares.groupby([*ROW, "attack", "parameter", "level"])["steps"].transform("max")
    last_step = shares[shares["steps"] == last]
    rows = []
    for names, group in last_step.groupby(["task", "backbone", "training"], sort=False):
        converted = _input_epsilons(board[(board[ROW[:2]] == list(names[:2])).all(axis=1)])
        for keys, cells in group.groupby([*LEVEL[:4], "metric"], sort=False):
            row = dict(zip(["task", "backbone", "training"], names, strict=True))
            level = cells.iloc[0]
            row["attack [% right]"] = _level(level, converted.get((keys[0], keys[3])))
            row |= {cell.method: percent(cell) for cell in cells.itertuples()}
            rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _input_epsilons(board: pd.DataFrame) -> dict[tuple[str, float], float]:
    """Normalised ε in units of the input, by attack and ε."""
    rows = board[board["metric"] == "input_epsilon"]
    return {(row.attack, row.level): row.mean for row in rows.itertuples()}


def _level(row: pd.Series, converted: float | None) -> str:
    norm = " l2" if row["norm"] == "l2" else ""
    verdict = "" if row["metric"] == ACCURACY else f": {row['metric']}"
    symbol = {"epsilon": "ε", "snr": "SNR"}.get(row["parameter"], row["parameter"])
    about = f", {symbol} = {row['level']:g}" if symbol else ""
    units = f" normalised ({converted:.3g} of the input)" if converted is not None else ""
    return f"{row['attack']}{norm}{about}{units}{verdict}"


def percent(row: Any) -> str:
    """Share and half its interval in per cent; a dash where there is none."""
    if row is None or math.isnan(row.mean):
        return "–"
    half = "" if math.isnan(row.ci_high) else f" ± {100 * (row.ci_high - row.mean):.1f}"
    return f"{100 * row.mean:.1f}{half}"
