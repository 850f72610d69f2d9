"""The data of a report's page, from plan and records."""

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter

from lapbench.reports.page import page
from lapbench.reports.report import Report
from lapbench.results.collect import Collected
from lapbench.results.provenance import commit
from lapbench.results.records import Record, indented
from lapbench.suite.cells import Cell
from lapbench.suite.names import name_cells
from lapbench.suite.plan import PlannedCell

_OF_REPETITION = ("repetition", "sources")
_TRACEBACK = 12
"""Lines from the beginning of a traceback, and from its end."""


def make_page(collected: Collected, report: Report, figures: Sequence[page.Figure]) -> page.Page:
    """Page of a report."""
    return page.Page(
        **vars(report),
        commands=[_command(*folder) for folder in collected.folders],
        generator=f"lapbench {version('lapbench')}, commit {_in_words(commit())}",
        cells=list(_cells(collected)),
        origins=_origins(collected),
        figures=list(figures),
    )


def _command(suite: str, results: Path, seeds: int) -> str:
    parts = ["lapbench", "run", suite, "--seeds", str(seeds), "--results", str(results)]
    return shlex.join(parts)


def _in_words(commit: str) -> str:
    return commit.replace("+", " with local changes")


def _origins(collected: Collected) -> list[page.Origin]:
    """Distinct commands, commits, versions and machines of the records."""
    made = Counter(_origin(record) for record in collected.records.values())
    return [replace(origin, cells=count) for origin, count in made.most_common()]


def _origin(record: Record) -> page.Origin:
    about, cell = record.provenance, record.cell
    versions = {"Python": about.python, **about.packages}
    machine = [about.processor, about.accelerator, f"{about.cores} cores", about.platform]
    return page.Origin(
        cells=0,
        command=about.command,
        commit=_in_words(about.commit),
        versions=", ".join(f"{name} {number}" for name, number in versions.items()),
        machine=", ".join([*filter(None, machine), cell.device, f"{cell.threads} thread(s)"]),
    )


def _cells(collected: Collected) -> Iterator[page.PageCell]:
    plan = collected.plan.cells
    for planned, names in zip(plan, name_cells(plan), strict=True):
        record = collected.records.get(planned.key)
        shown = page.PageCell(
            task=names["task"],
            backbone=names["backbone"],
            method=names["method"],
            training=planned.cell.training,
            repetition=planned.cell.repetition,
            key=planned.key,
            status="refused" if planned.key in collected.refused else "not run",
            reason=collected.refused.get(planned.key, ""),
            configuration=_configuration(planned),
        )
        yield _with_record(shown, record) if record else shown


def _configuration(planned: PlannedCell) -> str:
    """All of a cell but its repetition, as text."""
    tree = TypeAdapter(Cell).dump_python(planned.cell, mode="json")
    label = {"label": planned.label} if planned.label else {}
    return indented(label | {k: v for k, v in tree.items() if k not in _OF_REPETITION})


def _with_record(shown: page.PageCell, record: Record) -> page.PageCell:
    accuracies = [
        m.value
        for m in record.metrics
        if m.metric == "accuracy" and not m.attack and math.isfinite(m.value)
    ]
    provenance = asdict(record.provenance)
    started = provenance.pop("started")
    seconds = record.timing.training_seconds if record.timing else None
    return replace(
        shown,
        status=record.status,
        reason=record.reason or "",
        accuracy=accuracies[0] if accuracies else None,
        seconds=seconds,
        provenance=indented(provenance),
        details={"started": started, **dict(_details(record))},
    )


def _details(record: Record) -> Iterator[tuple[str, str]]:
    numbers = [f"{m.split} {m.metric}: {m.value:.4g}" for m in record.metrics if not m.attack]
    texts = {
        "numbers": numbers,
        "warnings": record.warnings,
        "checks": [f"{flag.name}: {flag.verdict} ({flag.evidence})" for flag in record.flags],
        "attacks without a result": [
            f"{run.label}: {run.status} ({run.reason})"
            for run in record.attacks
            if run.status != "ok"
        ],
        "sources of transfer attacks": [
            f"{name}: {key}" for name, key in record.cell.sources.items()
        ],
    }
    yield from ((heading, "\n".join(lines)) for heading, lines in texts.items() if lines)
    if record.traceback:
        yield "traceback", _shortened(record.traceback)
    for run in record.attacks:
        if run.traceback:
            yield f"traceback of {run.label}", _shortened(run.traceback)


def _shortened(traceback: str) -> str:
    lines = traceback.rstrip().splitlines()
    if len(lines) <= 2 * _TRACEBACK:
        return "\n".join(lines)
    left_out = f"… {len(lines) - 2 * _TRACEBACK} lines …"
    return "\n".join([*lines[:_TRACEBACK], left_out, *lines[-_TRACEBACK:]])
