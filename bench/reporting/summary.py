"""All tables and sentences of a report, made from its records."""

from lapbench.reporting.attack_conditions import unfinished_attacks
from lapbench.reporting.conditions import conditions
from lapbench.reporting.correspondence import published_rows
from lapbench.reporting.published import entries
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


def summarise(collected: Collected) -> Report:
    """All tables and sentences of a report."""
    plan, records = collected.plan, collected.records
    frame, flags = tidy(plan, records, collected.refused), tidy_flags(plan, records)
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
            *conditions(plan, records, collected.others),
            describe_published(printed, len(entries())),
        ],
        unfinished=[*unfinished(frame), *failed],
        inapplicable=inapplicable,
    )
