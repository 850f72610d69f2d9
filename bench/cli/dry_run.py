"""What a run would do, and about how long it would take."""

from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from lapbench.running.api import PreparedRun
from lapbench.running.estimate import LEFT_OUT, Estimate, estimate, kind_of, recorded_times
from lapbench.suite.names import name_cells


def print_dry_run(prepared: PreparedRun, jobs: int, console: Console) -> None:
    """Print the missing cells, each with its time, and the time of all, ``jobs`` at a time.

    A kind of cell that has a record in the folder takes as long again; of others a few steps are
    timed, once a kind. What is timed is shown on the console if that is a terminal. Nothing is
    written but data that were missing.
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
    """Return a time in one unit: seconds below 2 minutes, minutes below 2 hours, else hours."""
    if seconds < 120:
        return f"{max(round(seconds), 1)} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _in_words(found: Estimate) -> str:
    if found.unknown:
        return f"no estimate: {' '.join(found.unknown.split())}"
    return f"about {duration(found.seconds)}{'' if found.recorded else ' of training'}"


def _sum(estimates: Sequence[Estimate], jobs: int) -> str:
    known = [found for found in estimates if not found.unknown]
    if not known:
        return "no estimate"
    seconds = [found.seconds for found in known]
    notes = [] if all(found.recorded for found in known) else [f"without {LEFT_OUT}"]
    if others := len(estimates) - len(known):
        notes.append(f"without the {others} that have no estimate")
    about = f" ({'; '.join(notes)})" if notes else ""
    time = duration(max(sum(seconds) / jobs, max(seconds)))
    return f"about {time} in all with --jobs {jobs}{about}"
