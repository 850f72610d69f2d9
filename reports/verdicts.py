"""Conclusions that the numbers of the attacks support, in words."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lapbench.reports.checks import CHECKS, NEEDED
from lapbench.reports.robustness import (
    ACCURACY,
    CLEAN,
    ROW,
    VERDICTS,
    WORST,
    by_row,
    describe_radius,
    headline_radius,
    numbers,
    percent,
)

_GAP = 0.02


def verdicts(board: pd.DataFrame, flags: pd.DataFrame) -> list[str]:
    """One paragraph for every method: which conclusions its numbers support.

    Args:
        board: of :func:`lapbench.reports.robustness.robustness`.
        flags: one row a cell and check: ``task, backbone, method, training, repetition, name,
            verdict, evidence``.

    """
    checks = by_row(flags)
    return [
        " ".join(_sentences(names, group, checks.get(names, flags.iloc[:0])))
        for names, group in board.groupby(ROW, sort=False)
    ]


def _sentences(names: Any, group: pd.DataFrame, own: pd.DataFrame) -> Iterator[str]:
    task, backbone, method, training = names
    radius, values = headline_radius(group), numbers(group)
    where = f"{method} on {task} with {backbone}, {training} training:"
    clean = values.get((CLEAN, ACCURACY, 0.0))
    worst = values.get((WORST, ACCURACY, radius))
    if radius is None or clean is None or worst is None:
        yield f"{where} no worst case was measured."
        return
    yield (
        f"{where} right on {percent(clean)} % of {clean.count} samples, on {percent(worst)} % in "
        f"the worst case over all attacks at ε = {describe_radius(group, radius)}."
    )
    yield _judgement(own)
    joint, single = (
        values.get((WORST, kind, radius)) for kind in ("joint_accuracy", "single_accuracy")
    )
    if joint and single and max(joint.mean, single.mean) - worst.mean > _GAP:
        yield (
            "Its predictions depend on the batch: with their worst candidates put together "
            f"{percent(joint)} % stay right, and {percent(single)} % where each of these, which "
            "were made for the batch, stands alone among clean samples."
        )
    proven = [values.get(("verification", kind, radius)) for kind in VERDICTS]
    if None not in proven:
        right, wrong, left = map(percent, proven)
        yield f"Verification at that ε: {right} % proven right, {wrong} % wrong, {left} % open."
    unmade = own[own["verdict"] == "not measured"]["name"].unique()
    if len(unmade):
        yield f"Not measured: {'; '.join(CHECKS[name].asks for name in unmade)}."


def _judgement(own: pd.DataFrame) -> str:
    """Conclusion from the checks; failures in half the repetitions or less are only listed."""
    failed = own[own["verdict"] == "fail"]
    often = failed.groupby("name")["repetition"].nunique() > own["repetition"].nunique() / 2
    doubts = [CHECKS[str(name)].doubts for name in often[often].index]
    listed = ". ".join(_failures(own, failed))
    unmade = set(own[own["verdict"] == "not measured"]["name"]) & set(NEEDED)
    if "gradient" in doubts:
        return (
            "Its gradient hides something: accuracy under attacks by it alone is no evidence of "
            f"robustness, and the worst case is no more than an upper bound. {listed}."
        )
    if doubts:
        return (
            "Its gradient was not found hidden, but attacks with more to spend broke more, so the "
            f"accuracy under plain PGD overstates it; the worst case counts them. {listed}."
        )
    if not failed.empty:
        return (
            "The worst case is an upper bound. Single repetitions failed a check, most did not: "
            f"{listed}."
        )
    if unmade or not (own["verdict"] == "pass").any():
        return "The worst case is an upper bound: too few checks were made to say more."
    return (
        "No check found its gradient hidden: the worst case is a fair estimate for attacks of this "
        "budget, and an upper bound for all."
    )


def _failures(own: pd.DataFrame, failed: pd.DataFrame) -> Iterator[str]:
    for name, group in failed.groupby("name", sort=False):
        repetitions = own.loc[own["name"] == name, "repetition"].nunique()
        text = CHECKS[str(name)].fails
        yield (
            f"{text[0].upper()}{text[1:]} ({len(group)} of {repetitions} repetitions; first: "
            f"{group['evidence'].iloc[0].split(';')[0]})"
        )
