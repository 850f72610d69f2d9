"""Verdicts on the numbers of two runs; cells are compared in ``cells``."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lapbench.reports.robustness import CLEAN
from lapbench.reports.statistics.tests import FEWEST_SEEDS, LEVEL, describe_p, interval, paired_p
from lapbench.reports.tracking.kinds import KINDS, Kind, kind_name, stage_name

ROW = ["task", "backbone", "training", "method"]
SERIES = [*ROW, "metric", "attack", "norm", "parameter", "level"]
NUMBERS = ["repetitions", "baseline", "new", "change", "ci_low", "ci_high", "p"]
COLUMNS = [*SERIES, *NUMBERS, "verdict", "why"]
BETTER, SAME, WORSE, CHANGED = "better", "same", "worse", "changed"
UNDECIDED = "not enough samples"
FAILING = (WORSE, CHANGED)
_NEEDED = {"paired": FEWEST_SEEDS, "ranks": 4}
"""Fewest repetitions with which a test can be significant."""


def compare_numbers(
    baseline: pd.DataFrame,
    results: pd.DataFrame,
    kinds: Mapping[str, Kind] = KINDS,
    unpaired: Collection[str] = (),
) -> pd.DataFrame:
    """One line for every number of the baseline that can be compared.

    Columns: ``task, backbone, training, method``; ``metric, attack, norm, parameter, level``;
    ``repetitions`` in common; ``baseline, new``, of a metric that is compared by repetition those
    that changed most; ``change``, their difference or factor; ``ci_low, ci_high``, its 95 %
    interval, and ``p`` after correction, where there are such; ``verdict`` and ``why``.

    * Beyond the margin a number is worse, better, or changed if it has no direction. Where a test
      is made, p < 0.05 is needed too; else it is not enough samples. So are paired numbers that
      moved in fewer than five repetitions.
    * p of paired tests is multiplied by the number of rows with a paired number that moved. On the
      same kind of machine these are the rows whose code changed. On another one rounding moves most
      rows, and some exceed a margin by chance. Numbers of one row are too much alike to be counted
      apart. p of rank tests is not corrected: their factor excludes chance.
    * A number that finished cells no longer have is changed; one that is not finite is worse.

    Args:
        baseline: the tidy frame of ``lapbench.load_records``.
        results: that of the other run, with the same names of rows.
        kinds: by metric; others are not compared.
        unpaired: tasks whose repetitions have other samples; their paired metrics, and those of
            each repetition, are left out.

    """
    lines = []
    for names, pair in _pairs(baseline, results, kinds).groupby(SERIES, sort=False):
        about = dict(zip(SERIES, names, strict=True))
        kind = kinds[kind_name(about["metric"])]
        if about["task"] not in unpaired or kind.test not in ("paired", "each"):
            lines.append({**about, "kind": kind, **_measure(kind, pair)})
    tested = [line for line in lines if line["kind"].test == "paired" and "p" in line]
    moved = len({tuple(line[name] for name in ROW) for line in tested})
    for line in tested:
        line["p"] = min(1.0, moved * line["p"])
        line["corrected"] = f" after correction for {moved} rows that moved" if moved > 1 else ""
    return as_table([_judge(line["kind"], line) | line for line in lines])


def as_table(lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Lines as a table with the columns of :func:`compare_numbers`."""
    table = pd.DataFrame(lines, columns=COLUMNS)
    return table.astype({**dict.fromkeys(NUMBERS, float), "repetitions": int})


def _pairs(baseline: pd.DataFrame, results: pd.DataFrame, kinds: Collection[str]) -> pd.DataFrame:
    """Finite numbers of the baseline from cells finished in both runs, each beside its partner."""
    cell = [*ROW, "repetition"]
    finished = [frame.loc[frame["status"] == "ok", cell] for frame in (baseline, results)]
    common = finished[0].drop_duplicates().merge(finished[1].drop_duplicates())
    keys = [*SERIES, "repetition"]
    old, new = (
        compared(frame.merge(common), kinds).drop_duplicates(keys, keep="last")
        for frame in (baseline, results)
    )
    finite = old[np.isfinite(old["value"])]
    return finite[[*keys, "value"]].merge(
        new[[*keys, "value"]], "left", keys, suffixes=("_old", "_new"), indicator="partner"
    )


def compared(frame: pd.DataFrame, kinds: Collection[str], *by: str) -> pd.DataFrame:
    """Numbers that are compared, as floats; of an attack those after its last step.

    Args:
        frame: tidy, and with columns ``by`` that tell runs apart.
        kinds: metrics, without their stages.
        by: names of these columns.

    """
    kind = frame["metric"].map(kind_name, na_action="ignore")
    chosen = frame[kind.isin(kinds) & (frame["attack"] != CLEAN)].astype({"value": float})
    last = chosen.groupby([*by, *SERIES])["steps"].transform("max")
    return chosen[chosen["steps"] == last]


def _measure(kind: Kind, pair: pd.DataFrame) -> dict[str, Any]:
    """Numbers of a line, with p before correction; the verdict too where nothing is to judge."""
    both = pair[pair["partner"] == "both"].set_index("repetition").sort_index()
    old, new = both["value_old"], both["value_new"]
    finite, change = new[np.isfinite(new)], new - old
    if len(finite) < max(len(new), 1):
        why = f"{len(new) - len(finite)} of {len(new)} repetitions are not finite any more"
        verdict = WORSE if kind.better and len(new) else CHANGED
        numbers = _numbers(pair["value_old"].mean(), finite.mean(), len(finite))
        return {**numbers, "verdict": verdict, "why": why if len(new) else "not measured any more"}
    if kind.test == "paired":
        line = _numbers(old.mean(), new.mean(), len(new))
        if not change.any():
            return {**line, "verdict": SAME, "why": "identical"}
        limits = interval(list(change))
        line |= {"ci_low": limits.low, "ci_high": limits.high}
        return line | ({"p": paired_p(change)} if len(new) >= _NEEDED["paired"] else {})
    if kind.test == "each":
        most = _largest_change(kind, old, change)
        return _numbers(old[most], new[most], len(new))
    line = _numbers(old.median(), new.median(), len(new))
    if kind.test == "ranks":
        before, after = line["baseline"], line["new"]
        line["change"] = after / before if before else math.inf if after else 1.0
        if len(new) >= _NEEDED["ranks"]:
            line["p"] = float(stats.mannwhitneyu(old, new, method="exact").pvalue)
    return line


def _numbers(before: float, after: float, repetitions: int) -> dict[str, Any]:
    numbers = {"baseline": before, "new": after, "change": after - before}
    return {**numbers, "repetitions": repetitions}


def _largest_change(kind: Kind, old: pd.Series, change: pd.Series) -> int:
    """Repetition that changed most, of those beyond the margin, and for the worse, if any are."""
    beyond = pd.Series(map(kind.exceeds, change, old), change.index)
    for which in (beyond & (change * kind.better <= 0), beyond):
        if which.any():
            return int(change[which].abs().idxmax())
    return int(change.abs().idxmax())


def _judge(kind: Kind, line: Mapping[str, Any]) -> dict[str, str]:
    """Verdict on the numbers of a line, and its reason."""
    needed, p = _NEEDED.get(kind.test, 0), line.get("p")
    exceeds = kind.exceeds(line["change"], line["baseline"])
    gain = kind.better * (line["new"] - line["baseline"])
    direction = BETTER if gain > 0 else WORSE if kind.better else CHANGED
    verdict, why = direction if exceeds else SAME, ""
    if p is not None:
        why = describe_p(p) + line.get("corrected", "")
    elif needed and (exceeds or kind.test == "paired"):
        why = f"{line['repetitions']} repetitions in common; a test needs {needed}"
        verdict = UNDECIDED
    if exceeds and needed and not (p is not None and p < LEVEL):
        return {"verdict": UNDECIDED, "why": f"may be {direction}, {why}"}
    if verdict in FAILING:
        factor = f"{line['change']:.2g}"
        meaning = kind.why.format(stage=stage_name(line["metric"]), factor=factor)
        why = ", ".join(filter(None, [meaning, why]))
    return {"verdict": verdict, "why": why}
