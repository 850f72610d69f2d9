"""The output of ``lapbench run --dry-run``: cells to run, with estimated times."""

from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from lapbench.running.api import PreparedRun
from lapbench.running.estimate import LEFT_OUT, Estimate, estimate, kind_of, recorded_times
from lapbench.suite.names import name_cells


def print_dry_run(prepared: PreparedRun, jobs: int, console: Console) -> None:
    """Print each missing cell with its time, and the total time for ``jobs`` cells at a time.

    Times come from records in the folder; for other kinds of cells a few steps are timed. Nothing
    is written except downloaded data.
    """
    keys = [planned.key for planned in prepared.plan.cells]
    names = dict(zip(keys, name_cells(prepared.plan.cells), strict=True))
    times = recorded_times(keys, prepared.folder)
    estimates = []
    for planned in prepared.missing:
        cell, kind = planned.cell, kind_of(planned.cell)
        parts = [names[planned.key][part] for part in ("task", "backbone", "method")]
        what = "  ".join([*parts, cell.training])
        if kind not in times:
            with console.status(Text(f"timing {what}")):
                times[kind] = estimate(cell)
        estimates.append(times[kind])
        time = _in_words(times[kind])
        click.echo(f"{planned.key}  {what}  repetition {cell.repetition}  {time}")
    count = f"{len(prepared.missing)} of {len(prepared.selected)} cells would run"
    click.echo(count + (f", {_sum(estimates, jobs)}" if estimates else ""))


def duration(seconds: float) -> str:
    """Time in one unit: seconds below 2 minutes, minutes below 2 hours, else hours."""
    if seconds < 120:
        return f"{max(round(seconds), 1)} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _in_words(cell: Estimate) -> str:
    if cell.unknown:
        return f"no estimate: {' '.join(cell.unknown.split())}"
    return f"about {duration(cell.seconds)}{'' if cell.recorded else ' of training'}"


def _sum(estimates: Sequence[Estimate], jobs: int) -> str:
    known = [each for each in estimates if not each.unknown]
    if not known:
        return "no estimate"
    seconds = [each.seconds for each in known]
    notes = [] if all(each.recorded for each in known) else [f"without {LEFT_OUT}"]
    if others := len(estimates) - len(known):
        notes.append(f"without the {others} that have no estimate")
    about = f" ({'; '.join(notes)})" if notes else ""
    time = duration(max(sum(seconds) / jobs, max(seconds)))
    return f"about {time} in all with --jobs {jobs}{about}"
