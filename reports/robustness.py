"""Robustness: the worst case of every method, each attack beside it, and what that supports."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from lapbench.reports.checks import CHECKS
from lapbench.reports.statistics import interval

ROW = ["task", "backbone", "method", "training"]
LEVEL = ["attack", "norm", "parameter", "level", "steps", "metric"]
CLEAN, WORST = "none", "worst case"
ACCURACY = "robust_accuracy"
VERDICTS = ["verified", "unsafe", "timeout"]
_GAP = 0.02


def robustness(records: pd.DataFrame) -> pd.DataFrame:
    """Return what attacks left of every method in tidy form: one row an attack, level and number.

    Columns: ``task, backbone, method, training, attack, norm, parameter, level, steps, metric``,
    ``mean, ci_low, ci_high`` over the repetitions, and ``repetitions, count`` (samples).

    Args:
        records: the tidy frame of ``lapbench.load_records``.

    """
    attacked = records[records["attack"] != ""]
    rows = []
    for names, group in attacked.groupby([*ROW, *LEVEL], sort=False):
        found = interval(list(group["value"].astype(float)))
        rows.append(
            {
                **dict(zip([*ROW, *LEVEL], names, strict=True)),
                "mean": found.mean,
                "ci_low": found.low,
                "ci_high": found.high,
                "repetitions": len(group),
                "count": int(group["count"].iloc[0]),
            }
        )
    columns = [*ROW, *LEVEL, "mean", "ci_low", "ci_high", "repetitions", "count"]
    return pd.DataFrame(rows, columns=columns)


def headline(board: pd.DataFrame, flags: pd.DataFrame) -> pd.DataFrame:
    """Return the worst case of every method as texts, best first within a task and training.

    The worst case of a sample is over all attacks; "jointly" and "one at a time" predict each
    sample's worst candidate again, all in one batch, and each alone among clean samples.

    Args:
        board: of :func:`robustness`.
        flags: one row a cell and check: ``task, backbone, method, training, repetition, name,
            verdict, evidence``.

    """
    rows = []
    for names, group in board.groupby(ROW, sort=False):
        values = {(row.attack, row.metric, row.level): row for row in group.itertuples()}
        radius = headline_radius(group)
        if radius is None:
            continue
        worst = values[WORST, ACCURACY, radius]
        rows.append(
            {
                **dict(zip(ROW, names, strict=True)),
                "unattacked [%]": _percent(values.get((CLEAN, ACCURACY, 0.0))),
                f"worst case, {_radius(group, radius)} [%]": _percent(worst),
                "jointly": _percent(values.get((WORST, "joint_accuracy", radius))),
                "one at a time": _percent(values.get((WORST, "single_accuracy", radius))),
                "strongest attack": _strongest(group, radius),
                "failed checks": _failed_checks(flags[(flags[ROW] == list(names)).all(axis=1)]),
                "_order": -worst.mean,
            }
        )
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    order = table.groupby(["task", "backbone", "training"], sort=False).ngroup()
    table = table.assign(_group=order).sort_values(["_group", "_order"], kind="stable")
    return table.drop(columns=["_order", "_group"]).fillna("–")


def _failed_checks(own: pd.DataFrame) -> str:
    """Return the checks that failed in any repetition, with the number of those."""
    counts = own[own["verdict"] == "fail"].groupby("name", sort=False)["repetition"].nunique()
    repetitions = own["repetition"].nunique()
    texts = [f"{name} {count}/{repetitions}" for name, count in counts.items()]
    return ", ".join(texts) or ("none" if repetitions else "–")


def _radius(group: pd.DataFrame, radius: float) -> str:
    converted = _input_epsilons(group).get((WORST, radius))
    units = f" normalised ({converted:.3g} of the input)" if converted is not None else ""
    return f"ε = {radius:g}{units}"


def headline_radius(group: pd.DataFrame) -> float | None:
    """Return ε of the headline: where the worst candidates were predicted jointly."""
    found = group.loc[group["metric"] == "joint_accuracy", "level"]
    return None if found.empty else float(found.iloc[0])


def _strongest(group: pd.DataFrame, radius: float) -> str:
    worst = group[(group["attack"] == WORST) & (group["level"] == radius)]
    converted = _input_epsilons(group)
    same_units = [
        ((attack, radius) in converted) == ((WORST, radius) in converted)
        for attack in group["attack"]
    ]
    at_radius = group[
        (group["metric"] == ACCURACY)
        & (group["parameter"] == "epsilon")
        & (group["level"] == radius)
        & (group["norm"] == worst["norm"].iloc[0])
        & pd.Series(same_units, index=group.index)
        & ~group["attack"].isin([CLEAN, WORST])
    ]
    if at_radius.empty:
        return "–"
    best = at_radius.loc[at_radius["mean"].idxmin()]
    return f"{best['attack']} ({100 * best['mean']:.1f})"


def each_attack(board: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy under every attack after its last step: a row a level, a column a method.

    Rows are grouped by task, backbone and training. Verification has a row for each verdict.
    """
    shares = board[board["metric"].isin([ACCURACY, *VERDICTS])]
    last = shares.groupby([*ROW, "attack", "parameter", "level"])["steps"].transform("max")
    last_step = shares[shares["steps"] == last]
    converted = _input_epsilons(board)
    rows = []
    for names, group in last_step.groupby(["task", "backbone", "training"], sort=False):
        for keys, cells in group.groupby([*LEVEL[:4], "metric"], sort=False):
            row = dict(zip(["task", "backbone", "training"], names, strict=True))
            level = cells.iloc[0]
            row["attack [% right]"] = _level(level, converted.get((keys[0], keys[3])))
            row |= {cell.method: _percent(cell) for cell in cells.itertuples()}
            rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _input_epsilons(board: pd.DataFrame) -> dict[tuple[str, float], float]:
    """Return by attack and ε in normalised units what ε is in units of the input."""
    rows = board[board["metric"] == "input_epsilon"]
    return {(row.attack, row.level): row.mean for row in rows.itertuples()}


def _level(row: pd.Series, converted: float | None) -> str:
    norm = " l2" if row["norm"] == "l2" else ""
    verdict = "" if row["metric"] == ACCURACY else f": {row['metric']}"
    symbol = {"epsilon": "ε", "snr": "SNR"}.get(row["parameter"], row["parameter"])
    about = f", {symbol} = {row['level']:g}" if symbol else ""
    units = f" normalised ({converted:.3g} of the input)" if converted is not None else ""
    return f"{row['attack']}{norm}{about}{units}{verdict}"


def _percent(row: Any) -> str:
    if row is None:
        return "–"
    half = "" if math.isnan(row.ci_high) else f" ± {100 * (row.ci_high - row.mean):.1f}"
    return f"{100 * row.mean:.1f}{half}"


def verdicts(board: pd.DataFrame, flags: pd.DataFrame) -> list[str]:
    """Return for every method a paragraph: what the numbers support, and what they do not.

    Args:
        board: of :func:`robustness`.
        flags: as for :func:`headline`.

    """
    return [
        " ".join(_sentences(names, group, flags)) for names, group in board.groupby(ROW, sort=False)
    ]


def _sentences(names: Any, group: pd.DataFrame, flags: pd.DataFrame) -> Iterator[str]:
    task, backbone, method, training = names
    radius = headline_radius(group)
    values = {(row.attack, row.metric, row.level): row for row in group.itertuples()}
    where = f"{method} on {task} with {backbone}, {training} training:"
    clean = values.get((CLEAN, ACCURACY, 0.0))
    if radius is None or clean is None:
        yield f"{where} no worst case was measured."
        return
    worst = values[WORST, ACCURACY, radius]
    yield (
        f"{where} right on {_percent(clean)} % of {clean.count} samples, on {_percent(worst)} % "
        f"in the worst case over all attacks at {_radius(group, radius)}."
    )
    own = flags[(flags[ROW] == list(names)).all(axis=1)]
    failed = own[own["verdict"] == "fail"]
    yield from _judgement(own, failed)
    joint, single = (values[WORST, kind, radius] for kind in ("joint_accuracy", "single_accuracy"))
    if abs(joint.mean - single.mean) > _GAP:
        yield (
            f"The batch matters: attacked all at once {_percent(joint)} % stay right, one at a "
            f"time among clean samples {_percent(single)} %."
        )
    missing = [
        CHECKS[name].passes for name in own[own["verdict"] == "not measured"]["name"].unique()
    ]
    if missing:
        yield f"Not measured: whether {'; whether '.join(missing)}."


def _judgement(own: pd.DataFrame, failed: pd.DataFrame) -> Iterator[str]:
    doubts = [CHECKS[name].doubts for name in failed["name"]]
    listed = ". ".join(_failures(own, failed))
    if "gradient" in doubts:
        yield (
            "Its gradient hides something: accuracy under attacks by it alone is no evidence of "
            f"robustness, and the worst case is no more than an upper bound. {listed}."
        )
    elif doubts:
        yield (
            "No check found its gradient hidden, but attacks with more to spend broke more, so the "
            f"accuracy under plain PGD overstates it; the worst case counts them. {listed}."
        )
    elif (own["verdict"] == "pass").any():
        yield (
            "No check that was made found its gradient hidden: the worst case is a fair estimate "
            "for attacks of this budget, and an upper bound for all."
        )


def _failures(own: pd.DataFrame, failed: pd.DataFrame) -> Iterator[str]:
    for name, group in failed.groupby("name", sort=False):
        repetitions = own.loc[own["name"] == name, "repetition"].nunique()
        text = CHECKS[str(name)].fails
        yield (
            f"{text[0].upper()}{text[1:]} ({len(group)} of {repetitions} repetitions; first: "
            f"{group['evidence'].iloc[0].split(';')[0]})"
        )
