"""Methods compared across data sets, by their ranks.

Source of the whole procedure: J. Demšar, "Statistical comparisons of classifiers over multiple data
sets", JMLR 7 (2006), section 3.2.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lapbench.reports.statistics.tests import LEVEL, describe_p

LOW_POWER = 10
_DIGITS = 12
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Means:
    """Mean accuracies of the methods that are finished on all data sets, for a kind of training.

    Attributes:
        training: the kind of training.
        table: the accuracies, a row a data set, a column a method.
        left_out: methods without a column and tasks that no method finished, with the reason.

    """

    training: str
    table: pd.DataFrame
    left_out: list[str]


@dataclass(frozen=True)
class Friedman:
    """Friedman's test in the form of Iman and Davenport: F with its degrees of freedom and p."""

    statistic: float
    between: int
    within: int
    p: float


@dataclass(frozen=True)
class Nemenyi:
    """What Nemenyi's test tells apart.

    Attributes:
        mean_ranks: of each method, best first; rank 1 is the best.
        critical_difference: mean ranks that differ by less are not told apart.
        cliques: the largest groups of two or more methods that are not told apart.
        low_power: whether there are fewer than ten data sets.

    """

    mean_ranks: dict[str, float]
    critical_difference: float
    cliques: list[tuple[str, ...]]
    low_power: bool


def mean_accuracies(records: pd.DataFrame) -> list[Means]:
    """Mean accuracies for each kind of training.

    A data set counts once, as the tests take their ranks to be independent: its mean is that over
    repetitions, then over its tasks (as with 50 and 100 labels) and backbones. A method is left out
    if any of its cells has no finite accuracy, as the others may be the lucky ones.

    Args:
        records: the tidy frame of ``lapbench.load_records``; numbers under attacks are left out.

    """
    unattacked = records[records["attack"] == ""]
    return [
        _means(str(training), cells)
        for training, cells in unattacked.groupby("training", sort=False)
    ]


def _means(training: str, cells: pd.DataFrame) -> Means:
    values = cells["value"].astype(float)
    known = (cells["metric"] == "accuracy") & np.isfinite(values)
    each = cells.assign(value=values.where(known), done=cells["key"].where(known)).groupby(
        ["task", "backbone", "method"], sort=False
    )
    summary = each.agg(planned=("key", "nunique"), done=("done", "nunique"), mean=("value", "mean"))
    done = summary["done"].unstack("method").fillna(0)
    unknown = (done == 0).all(axis=1)
    left_out = [f"{task} with {backbone} (no result)" for task, backbone in done[unknown].index]
    planned = summary["planned"].unstack("method")
    short = (done != planned)[~unknown]
    for method in short.columns[short.any()]:
        places = list(short.index[short[method]])
        counts = [(place, done.loc[place, method], planned.loc[place, method]) for place in places]
        left_out.append(f"{method} ({_describe_shortfall(counts)})")
    table = summary["mean"].unstack("method").loc[~unknown, short.columns[~short.any()]]
    data_set = [str(task).partition(" (")[0] for task in table.index.get_level_values("task")]
    return Means(training, table.groupby(data_set).mean(), left_out)


def _describe_shortfall(counts: list[tuple[tuple[str, str], float, float]]) -> str:
    texts = [
        f"not planned on {task} with {backbone}"
        if math.isnan(planned)
        else f"{done:.0f} of {planned:.0f} cells on {task} with {backbone}"
        for (task, backbone), done, planned in counts
    ]
    more = [f"{len(texts) - _NAMED} more"] if len(texts) > _NAMED else []
    return ", ".join(texts[:_NAMED] + more)


def obstacle(table: pd.DataFrame) -> str:
    """Why the tests across data sets cannot be made; empty if they can.

    Args:
        table: accuracies, a row a data set, a column a method.

    """
    number, methods = table.shape
    if methods < 3:
        return f"it needs three methods that are finished on all data sets, and there are {methods}"
    if number < 2:
        return f"it needs two data sets with results at least, and there are {number}"
    distance = critical_difference(number, methods)
    if distance >= methods - 1:
        return (
            f"{number} data sets are too few to tell any of {methods} methods apart: mean ranks "
            f"would have to differ by {distance:.2f}, and differ by {methods - 1} at most"
        )
    return ""


def critical_difference(number: int, methods: int) -> float:
    """Nemenyi's CD = q·√(k(k + 1)/6N) for N data sets and k methods at 5 %.

    q is the 95 % quantile of the studentised range of k values, with infinite degrees of freedom,
    over √2.
    """
    q = float(stats.studentized_range.ppf(1 - LEVEL, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * number))


def friedman(table: pd.DataFrame) -> Friedman:
    """Test whether all methods have the same mean rank.

    F = (N − 1)χ²/(N(k − 1) − χ²) has k − 1 and (k − 1)(N − 1) degrees of freedom, where χ² is
    Friedman's statistic, corrected for ties. If the ranks are the same on all data sets, F is
    infinite; if all methods tie everywhere, it is 0. As few data sets cannot give any p, it is at
    least k!^(1−N): how often equal methods have the same ranks on all of them.

    Source: R. L. Iman, J. M. Davenport, "Approximations of the critical region of the Friedman
    statistic", 1980.

    Args:
        table: accuracies, a row a data set, a column a method, without an :func:`obstacle`.

    Raises:
        ValueError: if there is an obstacle.

    """
    ranks = _ranks(table)
    number, methods = ranks.shape
    centred = ranks - (methods + 1) / 2
    all_squares = float((centred**2).sum().sum())
    between = float((centred.sum() ** 2).sum()) / number
    degrees = methods - 1, (methods - 1) * (number - 1)
    residual = all_squares - between
    if residual > 1e-12 * all_squares:
        statistic = (number - 1) * between / residual
    else:
        statistic = math.inf if all_squares else 0.0
    attainable = math.exp((1 - number) * math.lgamma(methods + 1))
    p = max(attainable, float(stats.f.sf(statistic, *degrees)))
    return Friedman(statistic, *degrees, p)


def nemenyi(table: pd.DataFrame) -> Nemenyi:
    """Nemenyi's test at 5 %: which methods have different mean ranks.

    Those that differ by the critical difference or more are, if Friedman's test rejects that all
    are equal; if it does not, none is told apart from another.

    Args:
        table: accuracies, a row a data set, a column a method, without an :func:`obstacle`.

    Raises:
        ValueError: if there is an obstacle.

    """
    mean_ranks = _ranks(table).mean().sort_values(kind="stable")
    distance = critical_difference(*table.shape)
    reach = distance if friedman(table).p < LEVEL else math.inf
    cliques: list[tuple[str, ...]] = []
    for first, rank in enumerate(mean_ranks):
        last = int((mean_ranks - rank < reach).sum())
        clique = tuple(map(str, mean_ranks.index[first:last]))
        if len(clique) > 1 and not (cliques and set(clique) <= set(cliques[-1])):
            cliques.append(clique)
    ranks = {str(method): float(rank) for method, rank in mean_ranks.items()}
    return Nemenyi(ranks, distance, cliques, len(table) < LOW_POWER)


def _ranks(table: pd.DataFrame) -> pd.DataFrame:
    if reason := obstacle(table):
        raise ValueError(
            f"table: received {table.shape[0]} data sets and {table.shape[1]} methods; {reason}; "
            "call obstacle(table) first, and test only where it is empty"
        )
    return table.round(_DIGITS).rank(axis=1, ascending=False)


def describe(means: Means) -> str:
    """Results of the tests across data sets in words, or why they are not made."""
    start = f"Across data sets, {means.training} training:"
    left_out = f" Left out: {'; '.join(means.left_out)}." if means.left_out else ""
    if reason := obstacle(means.table):
        return f"{start} no test, as {reason}.{left_out}"
    ranking = nemenyi(means.table)
    ranks = ", ".join(f"{method} {rank:.2f}" for method, rank in ranking.mean_ranks.items())
    return f"{start} {describe_tests(means.table)} Mean ranks: {ranks}.{left_out}"


def describe_tests(table: pd.DataFrame) -> str:
    """Results of both tests in words.

    Args:
        table: accuracies, a row a data set, a column a method, without an :func:`obstacle`.

    """
    test, ranking = friedman(table), nemenyi(table)
    number, methods = table.shape
    told = "does not reject that all methods are equal, so none is told apart from another"
    if test.p < LEVEL:
        apart = ", which none do" if methods in map(len, ranking.cliques) else ""
        told = (
            "rejects that all methods are equal, and Nemenyi's test tells those apart whose mean "
            f"ranks differ by {ranking.critical_difference:.2f} or more{apart}"
        )
    power = f" Low power: fewer than {LOW_POWER} data sets." if ranking.low_power else ""
    statistic = "∞" if math.isinf(test.statistic) else f"{test.statistic:.2f}"
    return (
        f"N = {number} data sets, k = {methods} methods. Friedman's test (Iman–Davenport, "
        f"F({test.between}, {test.within}) = {statistic}, {describe_p(test.p)}) {told}."
        f"{power}"
    )
