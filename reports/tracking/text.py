"""A comparison of two runs as a table of texts and as sentences."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from lapbench.reports.figures.base.under_attack import describe_level
from lapbench.reports.figures.robustness import NORMS
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

_ORDER = [WORSE, CHANGED, UNDECIDED, BETTER, SAME]
_SHOWN = 5


def worst_first(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines by verdict (worse, changed, not enough samples, better, same), then by row."""
    rows = lines.groupby(ROW, sort=False).ngroup()
    return lines.iloc[np.lexsort((rows, lines["verdict"].map(_ORDER.index)))]


def readable_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of a comparison as texts; shares are in per cent, ratios of times are factors."""
    rows = [
        {
            "row": describe_row([getattr(line, name) for name in ROW]),
            **_numbers(line),
            "repetitions": str(line.repetitions) if line.repetitions else "–",
            "verdict": line.verdict,
            "why": one_line(line.why),
        }
        for line in lines.itertuples()
    ]
    return pd.DataFrame(rows)


def _numbers(line: Any) -> dict[str, str]:
    kind = KINDS.get(kind_name(line.metric))
    share, ranks = kind is not None and kind.better > 0, kind is not None and kind.test == "ranks"
    attack = f", {describe_attack(line)}" if line.attack else ""

    def show(value: float, sign: str = "") -> str:
        text = f"{100 * value:{sign}.2f}" if share else f"{value:{sign}.4g}"
        return "–" if math.isnan(value) else text.replace("-", "−", 1)

    low, high = show(line.ci_low, "+"), show(line.ci_high, "+")
    return {
        "metric": one_line(line.metric + " [%]" * share + attack),
        "baseline": show(line.baseline),
        "new": show(line.new),
        "change": "× " * ranks + show(line.change, "" if ranks else "+"),
        "95 % interval": "–" if math.isnan(line.ci_low) else f"{low} to {high}",
    }


def describe_attack(line: Any) -> str:
    """Attack with its level and norm, such as "pgd, ε = 0.1 (ℓ∞)"."""
    level = describe_level(line.parameter, line.level)
    norm = f" ({NORMS[line.norm]})" if line.norm else ""
    return f"{line.attack}{', ' if level else ''}{level}{norm}"


def conclusion(lines: pd.DataFrame) -> str:
    """Whether there is a regression; lines that do not decide are only counted."""
    deciding, others = lines[lines["decides"]], lines[~lines["decides"]]
    failing, verdicts = others["verdict"].isin(FAILING), set(deciding["verdict"])
    outcome = "regression" if verdicts & set(FAILING) else "no regression"
    unsure = " found" if outcome == "no regression" and UNDECIDED in verdicts else ""
    rest = f"; {_count(others[failing])} that --fail-on leaves out" if failing.any() else ""
    return f"{outcome}{unsure}: {_count(deciding)}{rest}"


def _count(lines: pd.DataFrame) -> str:
    counts = lines["verdict"].value_counts()
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER if verdict in counts)


def describe_row(names: Iterable[str]) -> str:
    """Task, backbone, training and method of a row in words."""
    task, backbone, training, method = map(one_line, names)
    if not method:
        return f"task {task}"
    how = f", {training} training" if training != "natural" else ""
    return f"{method} on {task} with {backbone}{how}"


def shorten(texts: Iterable[str]) -> str:
    """Texts joined, the first five of many."""
    texts = list(texts)
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def one_line(text: object) -> str:
    """Text on one line, without characters that would control a terminal."""
    joined = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "�" for letter in joined)
