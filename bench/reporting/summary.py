"""What a report says: all its tables and sentences."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lapbench.reporting.attack_conditions import unfinished_attacks
from lapbench.reporting.conditions import conditions
from lapbench.reporting.published import entries, published_rows
from lapbench.reports.leaderboard import leaderboard, unfinished
from lapbench.reports.published import beside_measured
from lapbench.reports.published import describe as describe_published
from lapbench.reports.robustness import headline, robustness
from lapbench.reports.statistics.comparisons import comparisons
from lapbench.reports.statistics.ranks import describe, mean_accuracies
from lapbench.reports.verdicts import verdicts
from lapbench.results.collect import Collected
from lapbench.results.tidy import tidy, tidy_flags


@dataclass(frozen=True, eq=False)
class Report:
    """Tables with what a reader must know about them, and the files that were written.

    Attributes:
        title: of the suites.
        records: the tidy frame of ``lapbench.load_records``.
        flags: one row a cell and check for hidden gradients.
        board: the leaderboard in tidy form.
        robustness: what attacks left, in tidy form.
        headline: the worst case of every method, as texts.
        verdicts: a paragraph on the robustness of every method.
        published: numbers of papers beside those of rows that correspond.
        comparisons: every method against the best of its task, in tidy form.
        statistics: sentences on the tests across data sets.
        conditions: sentences on budgets, repetitions and origin.
        unfinished: a line for every cell, attack or figure without a result.
        inapplicable: a line for every attack that does not apply to a method.
        files: what was written, the page first.

    """

    title: str
    records: pd.DataFrame
    flags: pd.DataFrame
    board: pd.DataFrame
    robustness: pd.DataFrame
    headline: pd.DataFrame
    verdicts: list[str]
    published: pd.DataFrame
    comparisons: pd.DataFrame
    statistics: list[str]
    conditions: list[str]
    unfinished: list[str]
    inapplicable: list[str]
    files: list[Path] = field(default_factory=list)


def summarise(found: Collected) -> Report:
    """Return all tables and sentences."""
    plan, records = found.plan, found.records
    frame, flags = tidy(plan, records, found.refused), tidy_flags(plan, records)
    attacked = robustness(frame)
    failed, inapplicable = unfinished_attacks(plan, records)
    printed = published_rows(plan)
    return Report(
        title=plan.title,
        records=frame,
        flags=flags,
        board=leaderboard(frame),
        robustness=attacked,
        headline=headline(attacked, flags),
        verdicts=verdicts(attacked, flags),
        published=beside_measured(printed, frame),
        comparisons=comparisons(frame),
        statistics=[describe(means) for means in mean_accuracies(frame)],
        conditions=[
            *conditions(plan, records, found.others),
            describe_published(printed, len(entries())),
        ],
        unfinished=[*unfinished(frame), *failed],
        inapplicable=inapplicable,
    )
