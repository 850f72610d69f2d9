"""What a report says: all its tables and sentences."""

from lapbench.reporting.attack_conditions import unfinished_attacks
from lapbench.reporting.conditions import conditions
from lapbench.reporting.published import entries, published_rows
from lapbench.reports.leaderboard import leaderboard, unfinished
from lapbench.reports.published import beside_measured
from lapbench.reports.published import describe as describe_published
from lapbench.reports.report import Report
from lapbench.reports.robustness import headline, robustness
from lapbench.reports.statistics.comparisons import comparisons
from lapbench.reports.statistics.ranks import describe, mean_accuracies
from lapbench.reports.verdicts import verdicts
from lapbench.results.collect import Collected
from lapbench.results.tidy import tidy, tidy_flags


def summarise(found: Collected) -> Report:
    """Return all tables and sentences."""
    plan, records = found.plan, found.records
    frame, flags = tidy(plan, records, found.refused), tidy_flags(plan, records)
    under_attack = robustness(frame)
    failed, inapplicable = unfinished_attacks(plan, records)
    printed = published_rows(plan)
    return Report(
        title=plan.title,
        records=frame,
        flags=flags,
        board=leaderboard(frame),
        robustness=under_attack,
        headline=headline(under_attack, flags),
        verdicts=verdicts(under_attack, flags),
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
