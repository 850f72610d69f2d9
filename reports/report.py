"""All tables and sentences of a report."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """Tables and sentences of a report, and the files that were written.

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
