"""Past runs of a suite: their numbers in one frame, and a figure of every metric over commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lapbench.errors import LapbenchError
from lapbench.reports.colors import method_styles
from lapbench.reports.leaderboard import to_csv
from lapbench.reports.style import paper, save
from lapbench.reports.tracking.history import (
    changes,
    describe_change,
    points,
    runs_of,
    short_commit,
)
from lapbench.reports.tracking.history_figure import draw
from lapbench.reports.tracking.kinds import KINDS
from lapbench.results.collect import collect
from lapbench.results.folder import RecordError
from lapbench.results.tidy import tidy
from lapbench.suite.plan import PLAN_FILE

SECONDS = (
    "Seconds are not drawn, as they depend on the machine; ratios to softmax, timed in the same "
    "process, can be compared."
)


class HistoryError(LapbenchError):
    """There are no past runs of one suite, or they do not have a metric."""


@dataclass(frozen=True, eq=False)
class History:
    """Past runs in a folder.

    Attributes:
        runs: one row a run, in the order of time: ``run`` (its folder), ``commit``, ``started``,
            ``cells``, as 9/10 that are ok.
        notes: sentences on what was left out, and on what changed between runs.
        files: what was written.

    """

    runs: pd.DataFrame
    notes: list[str]
    files: list[Path]


def write_history(
    folder: str | Path, output: str | Path | None = None, metrics: str | Sequence[str] = ()
) -> History:
    """Write a figure of each metric over the past runs, and the numbers that the figures show.

    Args:
        folder: as for :func:`load_history`.
        output: where ``history-….svg``, ``.pdf``, ``.png`` and ``history.csv`` go; by default
            ``history`` in the folder.
        metrics: names; by default all that any run has.

    Raises:
        HistoryError: if there is no run, runs are of several suites, or no run has a metric.

    """
    wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    records, notes = load_history(Path(folder))
    tables = {metric: points(records, metric) for metric in KINDS}
    known = [metric for metric, table in tables.items() if not table.empty]
    for name in wanted:
        if name not in known:
            raise HistoryError(
                f"metrics: received {name!r}; must be one that a run in {folder} has: "
                f"{', '.join(known)}. {SECONDS}"
            )
    runs, changed = runs_of(records), changes(records)
    target = Path(output) if output else Path(folder, "history")
    target.mkdir(parents=True, exist_ok=True)
    files = []
    styles = method_styles(records["method"].unique())
    for metric in wanted or known:
        with paper():
            figure = draw(tables[metric], changed, runs, styles)
        files += save(figure, target, f"history-{metric.replace('_', '-')}")
    csv = target / "history.csv"
    drawn = pd.concat([tables[metric] for metric in wanted or KINDS])
    csv.write_text(to_csv(drawn), encoding="utf-8")
    notes += [
        f"Numbers before {run} and from it on may not be comparable: "
        f"{'; '.join(map(describe_change, own.itertuples()))}."
        for run, own in changed.groupby("run", sort=False)
    ]
    return History(runs, notes, [*files, csv])


def load_history(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """All numbers of past runs of a suite, and a note on every folder or record left out.

    Columns are those of ``lapbench.load_records`` and of ``reports.tracking.history.RUN``:
    ``commit`` and ``started`` are those of the run's earliest record. Runs are ordered by
    ``started``.

    Args:
        folder: with results folders of one suite, at any depth.

    Raises:
        HistoryError: if there is no run, or there are runs of several suites.

    """
    frames, notes = [], []
    for plan in sorted(folder.rglob(PLAN_FILE)):
        name = plan.parent.relative_to(folder).as_posix()
        try:
            frame, about = _load_run(plan.parent, name)
        except (LapbenchError, OSError) as error:
            notes.append(f"{name} is left out: {error}.")
            continue
        frames.append(frame)
        notes += about
    if not frames:
        raise HistoryError(
            f"FOLDER: received {folder}, in which there is no results folder with a record; make "
            "one for each commit by `lapbench run smoke --results past/$(git rev-parse --short "
            f"HEAD)`. {' '.join(notes)}".rstrip()
        )
    suites = {frame["suite"].iloc[0]: frame["run"].iloc[0] for frame in frames}
    if len(suites) > 1:
        named = "; ".join(f"{suite} in {run}" for suite, run in suites.items())
        raise HistoryError(
            f"FOLDER: received {folder}, which has runs of {len(suites)} suites ({named}); give a "
            "folder with runs of one suite"
        )
    frames.sort(key=lambda frame: (frame["started"].iloc[0], frame["run"].iloc[0]))
    return pd.concat(frames, ignore_index=True).drop(columns="suite"), notes


def _load_run(path: Path, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Frame of a run with what is known of it, and notes on its records."""
    run = collect(path)
    if not run.records:
        raise RecordError(f"none of its {len(run.plan.cells)} cells has a record")
    origins = sorted(
        (record.provenance for record in run.records.values()), key=lambda p: p.started
    )
    commits = list(dict.fromkeys(origin.commit for origin in origins))
    processors = {origin.accelerator or origin.processor for origin in origins}
    versions = {origin.packages.get("torch", "") for origin in origins}
    data = {planned.key: planned.data for planned in run.plan.cells}
    frame = tidy(run.plan, run.records, run.refused).assign(
        suite=run.plan.suite,
        run=name,
        commit=commits[0],
        started=origins[0].started,
        processor=" and ".join(sorted(processors)),
        torch=" and ".join(sorted(versions)),
        data=lambda frame: frame["key"].map(data),
    )
    notes = [f"{name}: a record is left out: {why}." for why in run.refused.values()]
    if len(commits) > 1:
        listed = ", ".join(map(short_commit, commits))
        notes.append(
            f"{name} has records of {len(commits)} commits ({listed}); the first is shown."
        )
    return frame, notes
