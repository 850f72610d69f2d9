"""Results beside those of another commit or machine: what is better, the same, or worse."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lapbench.reports.tracking.cells import CELLS, DATA, compare_cells, data_lines
from lapbench.reports.tracking.kinds import KINDS, kind_name
from lapbench.reports.tracking.regression import FAILING, ROW, compare_numbers
from lapbench.reports.tracking.text import describe_row, shorten, worst_first
from lapbench.results.collect import Collected, collect
from lapbench.results.folder import RecordError
from lapbench.results.records import Record
from lapbench.results.tidy import tidy
from lapbench.tracking.gates import check_measured, read_gates
from lapbench.tracking.rows import Partners, data_changes, match_rows, rows_of, setting_changes


@dataclass(frozen=True, eq=False)
class RunComparison:
    """What became of the numbers of a baseline.

    Attributes:
        lines: worst first, one for every number, in the columns of
            :func:`lapbench.reports.tracking.regression.compare_numbers`, and ``decides``: whether
            the line counts for ``regressed``.
        notes: sentences on both sides, and on what is known to differ: data, settings, rows.

    """

    lines: pd.DataFrame
    notes: list[str]

    @property
    def regressed(self) -> bool:
        """Whether a line that decides is worse or changed."""
        return bool((self.lines["decides"] & self.lines["verdict"].isin(FAILING)).any())


def compare(
    baseline: str | Path, results: str | Path, fail_on: str | Sequence[str] = ()
) -> RunComparison:
    """Compare the numbers of a results folder with those of another, the baseline.

    Repetitions are paired; which rows belong together says
    :func:`lapbench.tracking.rows.match_rows`, and how numbers are compared
    :func:`lapbench.reports.tracking.regression.compare_numbers`. Times are compared only as ratios
    to softmax in the same process. Where the data of a task or their split changed, a line says so
    in place of what is compared by repetition.

    Args:
        baseline: a folder that ``run`` wrote.
        results: another, of another commit, machine or day.
        fail_on: limits such as ``"accuracy:-1pt"``, in place of those of their metrics, whose lines
            alone decide then, with those on cells and data; see
            :func:`lapbench.tracking.gates.read_gates`.

    Raises:
        RecordError: if one is no results folder, or no cell of the baseline is finished.
        GateError: if a limit cannot be read, or the baseline has no number that it is on.

    """
    gates = read_gates(fail_on)
    old, new = collect(baseline), collect(results)
    old_rows, new_rows = rows_of(old.plan), rows_of(new.plan)
    partners = match_rows(old_rows, new_rows)
    before, after = _numbers(old, {}), _numbers(new, partners)
    if not (before["status"] == "ok").any():
        raise RecordError(
            f"baseline {baseline}: no cell is finished, so there is nothing to compare with; run "
            "its suite, or give another folder"
        )
    check_measured(gates, _measured(before))
    changed = data_changes(old_rows, new_rows, partners)
    found = [
        data_lines(changed),
        compare_cells(_cells(old, before), _cells(new, after)),
        compare_numbers(before, after, {**KINDS, **gates}, changed),
    ]
    lines = pd.concat(found, ignore_index=True)
    deciding = {CELLS, DATA, *(gates or KINDS)}
    lines = lines.assign(decides=lines["metric"].map(kind_name).isin(deciding))
    new_only = [describe_row(row) for row in new_rows if row not in partners]
    notes = [
        f"Baseline: {_origin(old)}.",
        f"RESULTS: {_origin(new)}.",
        *(f"Task {task}: {why}." for task, why in changed.items()),
        *setting_changes(old_rows, new_rows, partners),
        *_without_baseline(new_only, _measured(after) - _measured(before)),
    ]
    return RunComparison(worst_first(lines).reset_index(drop=True), notes)


def _numbers(found: Collected, partners: Partners) -> pd.DataFrame:
    """Return the tidy numbers under the names of partners."""
    frame = tidy(found.plan, found.records, found.refused)
    own = [tuple(row) for row in frame[ROW].itertuples(index=False)]
    names = pd.DataFrame([partners.get(row, row) for row in own], columns=ROW)
    return frame.assign(**names)


def _measured(frame: pd.DataFrame) -> set[str]:
    """Return the kinds of metrics that are compared and were measured."""
    return set(KINDS).intersection(map(kind_name, frame["metric"].dropna().unique()))


def _cells(found: Collected, frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell; one whose attack failed counts as failed."""
    cells = frame.drop_duplicates("key").set_index("key")
    for key, record in found.records.items():
        for run in record.failed_attacks():
            cells.loc[key, ["status", "reason"]] = "failed", f"attack {run.label}: {run.reason}"
    return cells


def _origin(found: Collected) -> str:
    """Return suite, folder, and where the records come from."""
    suite, folder, _ = found.folders[0]
    origins = dict.fromkeys(_provenance(record) for record in found.records.values())
    return f"suite {suite} in {folder}: {shorten(origins) or 'no record'}"


def _provenance(record: Record) -> str:
    about = record.provenance
    known = not about.commit.startswith("unknown")
    changed = " with uncommitted changes" if about.commit.endswith("+") else ""
    packages = [f"{name} {version}" for name, version in about.packages.items()]
    return ", ".join(
        [
            f"commit {about.commit[:10] if known else about.commit}{changed}",
            f"Python {about.python}",
            *packages,
            about.accelerator or about.processor,
        ]
    )


def _without_baseline(rows: list[str], metrics: set[str]) -> Iterator[str]:
    """Yield in sentences what has nothing to be compared with."""
    if rows:
        yield f"New, without a baseline: {shorten(rows)}."
    if metrics:
        yield f"New numbers, without a baseline: {shorten(sorted(metrics))}."
