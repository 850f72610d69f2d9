"""A comparison of two runs as tables and sentences."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from lapbench.reports.tracking.kinds import KINDS, kind_name
from lapbench.reports.tracking.regression import (
    BETTER,
    CHANGED,
    FAILING,
    ROW,
    SAME,
    UNDECIDED,
    WORSE,
)

ABSOLUTE = (
    "Not compared: step_seconds, training_seconds, attack_seconds and the seconds of stages. "
    "Absolute times mean nothing across machines; step_ratio and stage_ratio are over softmax in "
    "the same process."
)
_ORDER = [WORSE, CHANGED, UNDECIDED, BETTER, SAME]
_SHOWN = 5
_SYMBOLS = {"epsilon": "ε", "snr": "SNR"}


def worst_first(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the lines by verdict (worse, changed, undecided, better, same), then by row."""
    rows = lines.groupby(ROW, sort=False).ngroup()
    return lines.iloc[np.lexsort((rows, lines["verdict"].map(_ORDER.index)))]


def readable_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of a comparison as a table of texts."""
    rows = [
        {
            **{name: one_line(getattr(line, name)) for name in ROW},
            "metric": _describe_metric(line),
            **_numbers(line),
            "repetitions": str(line.repetitions) if line.repetitions else "–",
            "verdict": line.verdict,
            "why": one_line(line.why),
        }
        for line in lines.itertuples()
    ]
    return pd.DataFrame(rows)


def _describe_metric(line: Any) -> str:
    norm = " l2" if line.norm == "l2" else ""
    attack = f", {line.attack}{norm}" if line.attack else ""
    symbol = _SYMBOLS.get(line.parameter, line.parameter)
    return one_line(f"{line.metric}{attack}" + (f", {symbol} = {line.level:g}" if symbol else ""))


def _numbers(line: Any) -> dict[str, str]:
    """Return baseline, new number, change and interval, in per cent where they are shares."""
    kind = KINDS.get(kind_name(line.metric))
    share = kind is not None and kind.better > 0
    factor, unit = (100.0, " %") if share else (1.0, "")
    values = [_number(factor * v, ".2f" if share else ".4g") for v in (line.baseline, line.new)]
    style = "+.2f" if share else "+.3g"
    change = _number(factor * line.change, style) + (" pt" if share else "")
    if kind is not None and kind.test == "ranks":
        change = f"× {_number(line.change, '.3g')}"
    limits = [_number(factor * limit, style) for limit in (line.ci_low, line.ci_high)]
    return {
        "baseline": values[0] + (unit if values[0] != "–" else ""),
        "new": values[1] + (unit if values[1] != "–" else ""),
        "change": "–" if math.isnan(line.change) else change,
        "95 % interval": "–" if math.isnan(line.ci_low) else f"{limits[0]} to {limits[1]}",
    }


def _number(value: float, style: str) -> str:
    text = "–" if math.isnan(value) else f"{value:{style}}"
    return f"−{text[1:]}" if text.startswith("-") else text


def describe_same(lines: pd.DataFrame) -> str:
    """Return in a sentence how many lines of each kind of metric are the same, empty if none."""
    kinds = lines.loc[lines["verdict"] == SAME, "metric"].map(kind_name)
    counts = kinds.value_counts(sort=False)
    return f"Same: {', '.join(f'{n} {kind}' for kind, n in counts.items())}." if len(counts) else ""


def conclusion(lines: pd.DataFrame) -> str:
    """Return in a sentence whether there is a regression, and where.

    Args:
        lines: of a comparison; those that do not decide are only counted.

    """
    deciding = lines[lines["decides"]]
    failing = worst_first(deciding[deciding["verdict"].isin(FAILING)])
    others = lines[~lines["decides"] & lines["verdict"].isin(FAILING)]
    rest = f"; {_count(others)} that --fail-on leaves out" if len(others) else ""
    if failing.empty:
        undecided = bool((deciding["verdict"] == UNDECIDED).any())
        found = "no regression found" if undecided else "no regression"
        return f"{found}: {_count(deciding)}{rest}"
    rows = [
        f"{describe_row(names)} ({', '.join(dict.fromkeys(group['metric'].map(one_line)))})"
        for names, group in failing.groupby(ROW, sort=False)
    ]
    return f"regression: {_count(failing)} of {len(deciding)} lines: {shorten(rows)}{rest}"


def _count(lines: pd.DataFrame) -> str:
    counts = lines["verdict"].value_counts()
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER if verdict in counts)


def describe_row(names: tuple[str, ...]) -> str:
    """Return task, backbone, training and method of a row in words."""
    task, backbone, training, method = map(one_line, names)
    if not method:
        return f"task {task}"
    return f"{method} on {task} with {backbone}" + (
        f", {training} training" * (training != "natural")
    )


def shorten(texts: Iterable[str]) -> str:
    """Return texts joined, the first five of many."""
    texts = list(texts)
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def one_line(text: object) -> str:
    """Return a text on one line, without letters that would steer a terminal."""
    joined = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "�" for letter in joined)
