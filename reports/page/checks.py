"""The checks for hidden gradients on the page: an overview, and the evidence."""

from collections import defaultdict

import pandas as pd

from lapbench.reports.checks import CHECKS
from lapbench.reports.page.tables import Entry, Table, make_table
from lapbench.reports.robustness import ROW

Found = dict[str, list[tuple[str, str]]]
"""By the name of a check, verdict and evidence of each repetition."""


def checks_overview(flags: pd.DataFrame) -> Table:
    """Table of the checks: a row for every method, a column for every check.

    Args:
        flags: as :func:`lapbench.reports.robustness.headline` takes them.

    """
    checks = flags["name"].unique()
    rows = []
    for names, by_check in _group(flags).items():
        row = dict(zip(ROW, map(Entry, names), strict=True))
        rows.append(
            row | {name.replace("_", " "): _verdict(by_check.get(name, [])) for name in checks}
        )
    return make_table("Checks", rows)


def checks_evidence(flags: pd.DataFrame) -> Table:
    """Numbers behind each check of each method, of a repetition that failed if any."""
    rows = []
    for names, by_check in _group(flags).items():
        for name, made in by_check.items():
            failed = [evidence for verdict, evidence in made if verdict == "fail"]
            row = dict(zip(ROW, map(Entry, names), strict=True))
            rows.append(
                row
                | {
                    "the check asks": Entry(CHECKS[name].asks if name in CHECKS else name),
                    "came out": _verdict(made),
                    "evidence": Entry((failed or [made[0][1]])[0]),
                }
            )
    return make_table("Evidence", rows)


def _group(flags: pd.DataFrame) -> dict[tuple[str, ...], Found]:
    groups: defaultdict[tuple[str, ...], Found] = defaultdict(lambda: defaultdict(list))
    for *names, name, verdict, evidence in flags[[*ROW, "name", "verdict", "evidence"]].to_numpy():
        groups[tuple(names)][name].append((verdict, evidence))
    return groups


def _verdict(made: list[tuple[str, str]]) -> Entry:
    """Share of repetitions in which a check failed, or why it was not made."""
    verdicts = [verdict for verdict, _ in made if verdict in ("pass", "fail")]
    if not verdicts:
        return Entry(made[0][0] if made else "–")
    failed = verdicts.count("fail")
    if failed:
        return Entry(f"fail {failed}/{len(verdicts)}", kind="fail")
    return Entry("pass", kind="pass")
