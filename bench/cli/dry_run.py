"""What a run would do, and how long it would take."""

from collections.abc import Sequence
from dataclasses import replace

import click
from rich.console import Console
from rich.text import Text

from lapbench.running.api import PreparedRun
from lapbench.running.estimate import Estimate, estimate, kind_of, pretrained_by, total_seconds
from lapbench.suite.names import name_cells


def print_dry_run(prepared: PreparedRun, jobs: int, console: Console) -> None:
    """Print the missing cells, each with its time, and the time of all, ``jobs`` at a time.

    Cells are printed as they are measured, repetitions by one measurement. What is measured is
    shown on the console if that is a terminal. Nothing is written but data that were missing.
    """
    cells = {planned.key: planned.cell for planned in prepared.plan.cells}
    names = dict(zip(cells, name_cells(prepared.plan.cells), strict=True))
    missing = {planned.key for planned in prepared.missing}
    pretrained = {pretrained_by(p.cell) for p in prepared.selected if p.key not in missing}
    measured: dict[str, Estimate] = {}
    estimates = []
    for planned in prepared.missing:
        cell, kind = planned.cell, kind_of(planned.cell)
        parts = [names[planned.key][part] for part in ("task", "backbone", "method")]
        what = "  ".join([*parts, cell.training])
        if kind not in measured:
            with console.status(Text(f"measuring {what}")):
                measured[kind] = estimate(cell, cells)
        shares = pretrained_by(cell) in pretrained
        estimates.append(replace(measured[kind], pretraining=0.0) if shares else measured[kind])
        pretrained.add(pretrained_by(cell))
        time = _in_words(estimates[-1])
        click.echo(f"{planned.key}  {what}  repetition {cell.repetition}  {time}")
    count = f"{len(prepared.missing)} of {len(prepared.selected)} cells would run"
    click.echo(count + (f", {_sum(estimates, jobs)}" if estimates else ""))


def duration(seconds: float) -> str:
    """Return a time in one unit: seconds below 2 minutes, minutes below 2 hours, else hours."""
    if seconds < 120:
        return f"{max(round(seconds), 1)} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _in_words(found: Estimate) -> str:
    if found.unknown:
        return f"no estimate: {' '.join(found.unknown.split())}"
    return f"{'at most' if found.is_limit else 'about'} {duration(found.seconds)}"


def _sum(estimates: Sequence[Estimate], jobs: int) -> str:
    known = [found for found in estimates if not found.unknown]
    if not known:
        return "no estimate"
    seconds, attacks = (sum(f.seconds for f in known), sum(f.attacks for f in known))
    notes = ["measured just now on this machine"]
    if attacks:
        notes.append(f"attacks {100 * attacks / seconds:.0f} %")
    if others := len(estimates) - len(known):
        notes.append(f"without the {others} that have no estimate")
    limit = "at most" if any(found.is_limit for found in known) else "about"
    time = duration(total_seconds(known, jobs))
    return f"{limit} {time} in all with --jobs {jobs} ({'; '.join(notes)})"
