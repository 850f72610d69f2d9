"""The numbers of two runs of a suite compared, so that a regression has a name."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lapbench.reports.robustness import CLEAN
from lapbench.reports.statistics.tests import FEWEST_SEEDS, LEVEL, describe_p, interval, paired_p
from lapbench.reports.tracking.kinds import KINDS, Kind, kind_name, stage_name

ROW = ["task", "backbone", "training", "method"]
SERIES = ["metric", "attack", "norm", "parameter", "level"]
NUMBERS = ["repetitions", "baseline", "new", "change", "ci_low", "ci_high", "p"]
COLUMNS = [*ROW, *SERIES, *NUMBERS, "verdict", "why"]
BETTER, SAME, WORSE, CHANGED = "better", "same", "worse", "changed"
UNDECIDED = "not enough samples"
FAILING = (WORSE, CHANGED)
FEWEST_RANKED = 4
_OPEN = "open"


def compare_numbers(
    baseline: pd.DataFrame,
    results: pd.DataFrame,
    kinds: Mapping[str, Kind] = KINDS,
    unpaired: Collection[str] = (),
) -> pd.DataFrame:
    """Return a line for every number of the baseline that can be compared.

    Columns: ``task, backbone, training, method`` and ``metric, attack, norm, parameter, level``;
    ``repetitions`` in common; ``baseline, new`` (means, or medians) and ``change``, their
    difference, but of times their factor; ``ci_low, ci_high``, its 95 % interval, and ``p``,
    where there are such, the interval for itself and p after correction; ``verdict`` and ``why``.

    * Paired metrics are worse where the two-sided paired t test says p < 0.05 and the mean change
      is beyond the margin. A change beyond the margin without such a p, and fewer than five
      repetitions that are not all equal, are not enough samples. The p-values are multiplied by the
      number of rows with a paired number that is not identical: on the same kind of machine these
      are the rows whose code changed, often one; on another one rounding moves most rows, and each
      could seem worse by chance. Numbers of one row are too much alike to be counted apart.
    * Metrics without a test are worse beyond the margin, those without a direction changed, of
      one repetition or of the medians.
    * Ratios of times are worse beyond the factor 1 + share where p < 0.05 and there are four
      repetitions, the fewest with which that is possible. Beyond it without such a p they are not
      enough samples. These p-values are not corrected: the factor keeps chance out, and the
      smallest p of five repetitions, 0.008, would not outlive it.

    A number that is no longer measured, though its repetitions are finished, is changed; one that
    is no longer finite is worse.

    Args:
        baseline: the tidy frame of ``lapbench.load_records``.
        results: the same of the other run, with the same names of rows.
        kinds: by the name of the metric; others are not compared.
        unpaired: tasks whose repetitions are not on the same samples, so that what is compared by
            repetition is left out.

    """
    finished = _finished(baseline).intersection(_finished(results))
    old, new = (_numbers(frame, finished, kinds) for frame in (baseline, results))
    found = {names: _by_repetition(group) for names, group in new.groupby([*ROW, *SERIES])}
    lines = []
    for names, group in old.groupby([*ROW, *SERIES], sort=False):
        about = dict(zip([*ROW, *SERIES], names, strict=True))
        kind = kinds[kind_name(about["metric"])]
        if about["task"] in unpaired and kind.test in ("paired", "each"):
            continue
        before = _by_repetition(group)
        known = before[np.isfinite(before)]
        if len(known):
            own = found.get(names, before.iloc[:0])
            own = own[own.index.isin(known.index)]
            lines.append({**about, **_line(kind, about["metric"], known, own)})
    _judge_paired(lines, kinds)
    table = as_table(lines)
    return table.assign(why=list(_with_iterations(table)))


def as_table(lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return lines as a table in the columns of :func:`compare_numbers`, numbers as such."""
    table = pd.DataFrame(lines, columns=COLUMNS)
    return table.astype({**dict.fromkeys(NUMBERS, float), "repetitions": int})


def _finished(frame: pd.DataFrame) -> pd.MultiIndex:
    """Return rows and repetitions with a result."""
    return pd.MultiIndex.from_frame(frame.loc[frame["status"] == "ok", [*ROW, "repetition"]])


def _numbers(frame: pd.DataFrame, finished: pd.MultiIndex, kinds: Collection[str]) -> pd.DataFrame:
    """Return what is compared of finished cells; of an attack, what its last step left."""
    kind = frame["metric"].map(kind_name, na_action="ignore")
    known = kind.isin(kinds) & (frame["attack"] != CLEAN)
    common = pd.MultiIndex.from_frame(frame[[*ROW, "repetition"]]).isin(finished)
    chosen = frame[known & common]
    return chosen[chosen["steps"] == chosen.groupby([*ROW, *SERIES])["steps"].transform("max")]


def _by_repetition(group: pd.DataFrame) -> pd.Series:
    once = group.drop_duplicates("repetition", keep="last")
    return once.set_index("repetition")["value"].astype(float).sort_index()


def _line(kind: Kind, metric: str, old: pd.Series, new: pd.Series) -> dict[str, Any]:
    """Return what a line says, from finite old numbers and those new ones that there are."""
    known = new[np.isfinite(new)]
    if not len(new):
        return _says(old, new, CHANGED, "it is not measured any more")
    if len(known) < len(new):
        lost = f"{len(new) - len(known)} of {len(new)} repetitions have no finite number any more"
        return _says(old, known, WORSE if kind.better else CHANGED, lost)
    if kind.test == "paired":
        return _paired(old.loc[new.index], new)
    compare = {"each": _each, "median": _median, "ranks": _ranked}[kind.test]
    line = compare(kind, old.loc[new.index], new)
    if line["verdict"] in FAILING and kind.why:
        meaning = kind.why.format(stage=stage_name(metric), factor=f"{line['change']:.2g}")
        line["why"] = ", ".join(filter(None, [meaning, line["why"]]))
    return line


def _says(old: pd.Series, new: pd.Series, verdict: str, why: str = "") -> dict[str, Any]:
    """Return a line with the means of both sides and their difference."""
    before, after = (float(own.mean()) if len(own) else math.nan for own in (old, new))
    numbers = {"repetitions": len(new), "baseline": before, "new": after, "change": after - before}
    return {**numbers, "verdict": verdict, "why": why}


def _paired(old: pd.Series, new: pd.Series) -> dict[str, Any]:
    change = new - old
    if not change.any():
        return _says(old, new, SAME, "identical")
    found = interval(list(change))
    limits = {"ci_low": found.low, "ci_high": found.high}
    if len(change) < FEWEST_SEEDS:
        return _says(old, new, UNDECIDED, _too_few(len(change), FEWEST_SEEDS)) | limits
    return _says(old, new, _OPEN) | limits | {"p": paired_p(change)}


def _judge_paired(lines: Sequence[dict[str, Any]], kinds: Mapping[str, Kind]) -> None:
    """Correct the p-values of open lines for the number of their rows, and give verdicts."""
    tested = [line for line in lines if line["verdict"] == _OPEN]
    rows = len({tuple(line[name] for name in ROW) for line in tested})
    correction = f" after correction for {rows} rows that moved" if rows > 1 else ""
    for line in tested:
        kind = kinds[kind_name(line["metric"])]
        p = min(1.0, rows * line["p"])
        verdict, why = SAME, describe_p(p)
        if kind.exceeds(line["change"], line["baseline"]):
            verdict, why = _tested(_direction(kind, line["change"]), p)
        line |= {"p": p, "verdict": verdict, "why": why + correction}


def _each(kind: Kind, old: pd.Series, new: pd.Series) -> dict[str, Any]:
    """Return what the repetition that changed most says, one for the worse before all others."""
    change = new - old
    beyond = [i for i in change.index if kind.exceeds(float(change[i]), float(old[i]))]
    if not beyond:
        return _says(old, new, SAME)
    worse = [i for i in beyond if _direction(kind, float(change[i])) != BETTER]
    most = max(worse or beyond, key=lambda i: abs(float(change[i])))
    where = f"in {len(worse or beyond)} of {len(new)} repetitions; here that which changed most"
    numbers = {"baseline": float(old[most]), "new": float(new[most]), "change": float(change[most])}
    return _says(old, new, _direction(kind, float(change[most])), where) | numbers


def _median(kind: Kind, old: pd.Series, new: pd.Series) -> dict[str, Any]:
    before, after = float(old.median()), float(new.median())
    numbers = {"baseline": before, "new": after, "change": after - before}
    exceeds = kind.exceeds(after - before, before)
    verdict = _direction(kind, after - before) if exceeds else SAME
    return _says(old, new, verdict) | numbers


def _ranked(kind: Kind, old: pd.Series, new: pd.Series) -> dict[str, Any]:
    before, after = float(old.median()), float(new.median())
    factor = after / before if before else math.inf if after else 1.0
    numbers = {"baseline": before, "new": after, "change": factor}
    enough = len(new) >= FEWEST_RANKED
    if enough:
        numbers["p"] = float(stats.mannwhitneyu(old, new, method="exact").pvalue)
    if not kind.exceeds(factor, before):
        return _says(old, new, SAME) | numbers
    direction = _direction(kind, factor - 1)
    few = f"may be {direction}, {_too_few(len(new), FEWEST_RANKED)}"
    verdict, why = _tested(direction, numbers["p"]) if enough else (UNDECIDED, few)
    return _says(old, new, verdict, why) | numbers


def _too_few(repetitions: int, needed: int) -> str:
    return f"{repetitions} in common where a test needs {needed} repetitions"


def _tested(direction: str, p: float) -> tuple[str, str]:
    """Return the verdict on a change beyond the margin, and its reason."""
    if p < LEVEL:
        return direction, describe_p(p)
    return UNDECIDED, f"may be {direction}, {describe_p(p)}"


def _direction(kind: Kind, change: float) -> str:
    if not kind.better:
        return CHANGED
    return BETTER if change * kind.better > 0 else WORSE


def _with_iterations(table: pd.DataFrame) -> Iterator[str]:
    """Yield the reason of each line; that of a slower solve with what became of its iterations."""
    solves = table[table["metric"] == "solve_iterations"]
    iterations = {tuple(line[ROW]): line for _, line in solves.iterrows()}
    for _, line in table.iterrows():
        own = iterations.get(tuple(line[ROW]))
        if own is None or stage_name(line["metric"]) != "solve" or line["verdict"] != WORSE:
            yield line["why"]
        elif own["baseline"] == own["new"]:
            yield f"{line['why']}; iterations unchanged"
        else:
            yield f"{line['why']}; iterations {own['baseline']:g} → {own['new']:g}"
