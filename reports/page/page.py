"""The page of a report: one HTML file that needs no network and shows everything.

It is readable without script; a short script sorts and filters its tables. The page forbids itself
any other script and all that is not in the file.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lapbench.reports.colors import method_colors
from lapbench.reports.leaderboard import further_numbers
from lapbench.reports.page.board import Names, Statuses, leaderboards
from lapbench.reports.page.checks import checks_evidence, checks_overview
from lapbench.reports.page.html import fill_template, inline, shorten
from lapbench.reports.page.tables import Column, table_of_texts
from lapbench.reports.published import readable_published
from lapbench.reports.report import Report
from lapbench.reports.robustness import each_attack
from lapbench.reports.statistics.comparisons import readable_comparisons

_SUMMARY = 160
_CELL_COLUMNS = {
    "method": False,
    "task": False,
    "backbone": False,
    "training": False,
    "repetition": True,
    "status": False,
    "accuracy [%]": True,
    "seconds": True,
    "key": False,
}
"""Whether each is sorted by numbers."""


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        name: as in ``lapbench list figures``.
        title: what it is, one line.
        alternative: what it shows, for those who do not see it.
        svg: the drawing, as matplotlib writes it.

    """

    name: str
    title: str
    alternative: str
    svg: str


@dataclass(frozen=True)
class Origin:
    """What made some of the cells; all but the number in words."""

    cells: int
    command: str
    commit: str
    versions: str
    machine: str


@dataclass(frozen=True)
class PageCell:
    """A planned cell, and what a reader sees who opens it.

    Attributes:
        task, backbone, method, training, repetition: names as in the tidy records.
        key: of its record.
        status: "ok", "failed", "diverged", "skipped", "refused" or "not run".
        reason: why it is not "ok", else empty.
        accuracy: on the evaluated split; None where there is none.
        seconds: of training; None likewise.
        configuration, provenance: texts; equal ones are in the page once.
        details: further texts by their headings.

    """

    task: str
    backbone: str
    method: str
    training: str
    repetition: int
    key: str
    status: str
    reason: str = ""
    accuracy: float | None = None
    seconds: float | None = None
    configuration: str = ""
    provenance: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Page(Report):
    """All that the page shows: a report, and what it is on, as plain data.

    Attributes:
        commands: what runs the cells that are missing.
        generator: what made the page, with version and commit.
        cells: all planned cells.
        origins: what made those that have a record.
        figures: in the order of the page.

    """

    commands: list[str]
    generator: str
    cells: list[PageCell]
    origins: list[Origin]
    figures: list[Figure]

    @property
    def colors(self) -> dict[str, str]:
        """Of the methods, as #rrggbb."""
        return method_colors(self.records["method"].unique())


def render(page: Page) -> str:
    """Page as HTML."""
    return fill_template(
        page=page,
        sections=_sections(page),
        drawings=[
            (figure, inline(figure.svg, f"{figure.title} {figure.alternative}", f"drawing-{n}-"))
            for n, figure in enumerate(page.figures)
        ],
        **_tables(page),
        **_cells(page.cells),
    )


def _sections(page: Page) -> dict[str, str]:
    """Titles of the sections that have something to show, by their names."""
    shown = {
        "leaderboard": ("Leaderboard", True),
        "robustness": ("Robustness", not page.robustness.empty),
        "figures": ("Figures", bool(page.figures)),
        "published": ("Published and measured", not page.published.empty),
        "statistics": ("Statistics", bool(page.statistics) or not page.comparisons.empty),
        "conditions": ("Conditions", bool(page.conditions)),
        "cells": ("Cells", True),
    }
    return {name: title for name, (title, is_shown) in shown.items() if is_shown}


def _tables(page: Page) -> dict[str, Any]:
    rows = _statuses(page.cells)
    return {
        "leaderboards": list(leaderboards(page, rows)),
        "further": table_of_texts("Numbers of single methods", further_numbers(page.board)),
        "headline": table_of_texts("Worst case over all attacks", page.headline),
        "overview": checks_overview(page.flags),
        "evidence": checks_evidence(page.flags),
        "attacks": table_of_texts("Accuracy under each attack", each_attack(page.robustness)),
        "published": table_of_texts("Published and measured", readable_published(page.published)),
        "comparisons": table_of_texts(
            "Comparisons with the best", readable_comparisons(page.comparisons)
        ),
    }


def _cells(cells: list[PageCell]) -> dict[str, Any]:
    """Names to filter by, and texts that several cells share."""
    tasks, trainings, statuses = (
        Counter(getattr(cell, name) for cell in cells) for name in ("task", "training", "status")
    )
    numbers = {task: number for number, task in enumerate(tasks)}
    shared = {
        kind: list(dict.fromkeys(text for cell in cells if (text := getattr(cell, kind))))
        for kind in ("configuration", "provenance")
    }
    return {
        "counts": _counts(cells),
        "statuses": statuses,
        "tasks": numbers,
        "choices": {
            "task": [(number, task) for task, number in numbers.items()],
            "training": [(training, training) for training in trainings],
            "status": [(status.replace(" ", "-"), status) for status in statuses],
        },
        "columns": [Column(name, is_numeric) for name, is_numeric in _CELL_COLUMNS.items()],
        "shared": shared,
        "numbers": {kind: {t: n for n, t in enumerate(texts)} for kind, texts in shared.items()},
    }


def _counts(cells: list[PageCell]) -> str:
    words = {
        "task": ("task", "tasks"),
        "method": ("method", "methods"),
        "training": ("kind of training", "kinds of training"),
        "repetition": ("repetition", "repetitions"),
    }
    counts = {name: len({getattr(cell, name) for cell in cells}) for name in words}
    return ", ".join(f"{count} {words[name][count != 1]}" for name, count in counts.items())


def _statuses(cells: list[PageCell]) -> dict[Names, Statuses]:
    """Statuses of the cells of each row of the leaderboard, with reasons."""
    rows: defaultdict[Names, Counter[tuple[str, str]]] = defaultdict(Counter)
    for cell in cells:
        names = (cell.task, cell.backbone, cell.method, cell.training)
        rows[names][cell.status, shorten(cell.reason.partition("\n")[0], _SUMMARY)] += 1
    return {
        names: Statuses(
            " ".join(dict.fromkeys(status.replace(" ", "-") for status, _ in counts)),
            "; ".join(
                f"{count} {status}" + (f": {reason}" if reason and status != "not run" else "")
                for (status, reason), count in counts.items()
                if status != "ok"
            ),
        )
        for names, counts in rows.items()
    }
