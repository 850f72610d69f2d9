"""Past runs of a suite: their numbers in one frame, and a figure of every metric over commits."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lapbench.errors import LapbenchError
from lapbench.reports.colors import method_styles
from lapbench.reports.leaderboard import to_csv
from lapbench.reports.style import paper, save
from lapbench.reports.tracking.history import (
    QUANTITIES,
    RUN,
    changes,
    describe_change,
    points,
    short_commit,
)
from lapbench.reports.tracking.history_figure import draw
from lapbench.results.collect import collect
from lapbench.results.folder import RecordError
from lapbench.results.tidy import tidy
from lapbench.suite.plan import PLAN_FILE

SECONDS = (
    "Seconds are not drawn: they are those of one machine and of how busy it was. Ratios to "
    "softmax, which is timed in turn in the same process, can be compared."
)


class HistoryError(LapbenchError):
    """There are no past runs of one suite, or they have no such metric."""


@dataclass(frozen=True, eq=False)
class History:
    """What came of the past runs in a folder.

    Attributes:
        runs: one row a run, in the order of time: ``run`` (its folder), ``commit``, ``started``,
            ``cells_ok, cells_planned``.
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
        HistoryError: if there is no run, if there are runs of several suites, or if no run has a
            metric that was named.

    """
    wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    _check_metrics(wanted)
    records, notes = load_history(Path(folder))
    tables = {metric: points(records, metric) for metric in wanted or QUANTITIES}
    if empty := [metric for metric in wanted if tables[metric].empty]:
        raise HistoryError(f"no run in {folder} has {', '.join(empty)}; leave out --metrics")
    runs, changed = _runs(records), changes(records)
    target = Path(output) if output else Path(folder, "history")
    target.mkdir(parents=True, exist_ok=True)
    files = []
    styles = method_styles(records["method"].unique())
    for metric, table in tables.items():
        with paper():
            figure = draw(table, changed, runs, styles)
        if figure:
            files += save(figure, target, f"history-{metric.replace('_', '-')}")
    csv = target / "history.csv"
    csv.write_text(to_csv(pd.concat(tables.values())), encoding="utf-8")
    return History(runs, [*notes, *_describe(changed, runs)], [*files, csv])


def _describe(changed: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Return a sentence on every run that something changed at."""
    commits = dict(zip(runs["run"], runs["commit"].map(short_commit), strict=True))
    return [
        f"Numbers before {run} ({commits[run]}) and from it on may not be comparable: "
        f"{'; '.join(map(describe_change, own.itertuples()))}."
        for run, own in changed.groupby("run", sort=False)
    ]


def _check_metrics(names: Sequence[str]) -> None:
    for name in names:
        if name not in QUANTITIES:
            why = f" {SECONDS}" if "seconds" in name or name.startswith("stage:") else ""
            raise HistoryError(
                f"metrics: received {name!r}; must be one of {', '.join(QUANTITIES)}.{why}"
            )


def load_history(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return all numbers of past runs of a suite, and a note on everything that cannot be read.

    The columns are those of ``lapbench.load_records``, then ``run`` (the folder), and of the
    earliest record in it ``commit``, ``started`` and the version of ``lapbench``; ``processor`` and
    ``torch`` are of all its records, and ``data`` is a hash of the cell's data and split. Runs
    follow one another by ``started``.

    Args:
        folder: with results folders of runs of one suite, at any depth; folders that cannot be read
            are left out.

    Raises:
        HistoryError: if there is no run, or if there are runs of several suites.

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
            f"{folder} has no results folder with a record, at any depth; expected are folders "
            "that `lapbench run` wrote, one a run, such as those of `lapbench run smoke --results "
            f"past/$(git rev-parse --short HEAD)`. {' '.join(notes)}".rstrip()
        )
    _check_suites(folder, frames)
    frames.sort(key=lambda frame: (frame["started"].iloc[0], frame["run"].iloc[0]))
    return pd.concat(frames, ignore_index=True).drop(columns="suite"), notes


def _load_run(path: Path, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame of a run with what is known of it, and notes on its records."""
    found = collect(path)
    if not found.records:
        raise RecordError(f"none of its {len(found.plan.cells)} cells has a record")
    records = sorted(found.records.values(), key=lambda record: record.provenance.started)
    origins = [record.provenance for record in records]
    commits = list(dict.fromkeys(about.commit for about in origins))
    processors = {about.accelerator or about.processor for about in origins}
    frame = tidy(found.plan, found.records, found.refused)
    data = {planned.key: planned.data for planned in found.plan.cells}
    frame = frame.assign(
        suite=found.plan.suite,
        run=name,
        commit=commits[0],
        started=origins[0].started,
        processor=" and ".join(sorted(processors)),
        torch=" and ".join(sorted({about.packages.get("torch", "") for about in origins})),
        lapbench=origins[0].packages.get("lapbench", ""),
        data=frame["key"].map(data),
    )
    notes = [f"{name}: a record is left out: {why}." for why in found.refused.values()]
    if len(commits) > 1:
        listed = ", ".join(map(short_commit, commits))
        notes.append(
            f"{name} has records of {len(commits)} commits ({listed}), and the first name."
        )
    return frame, notes


def _check_suites(folder: Path, frames: Sequence[pd.DataFrame]) -> None:
    runs: defaultdict[str, list[str]] = defaultdict(list)
    for frame in frames:
        runs[frame["suite"].iloc[0]].append(frame["run"].iloc[0])
    if len(runs) > 1:
        found = "; ".join(f"{suite} ({', '.join(names[:3])})" for suite, names in runs.items())
        raise HistoryError(
            f"{folder} has runs of {len(runs)} suites, and their numbers are not one history: "
            f"{found}; give a folder with runs of one suite"
        )


def _runs(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row a run."""
    cells = records.drop_duplicates(["run", "key"])
    counted = cells.assign(cells_ok=cells["status"] == "ok", cells_planned=1)
    sums = counted.groupby(RUN[:3], sort=False)[["cells_ok", "cells_planned"]].sum()
    return sums.reset_index()
