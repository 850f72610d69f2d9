"""Compare a results folder with that of another commit or machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lapbench.reports.tracking.cells import CELLS, DATA, compare_cells, data_lines
from lapbench.reports.tracking.history import short_commit
from lapbench.reports.tracking.kinds import KINDS, kind_name
from lapbench.reports.tracking.regression import FAILING, ROW, compare_numbers
from lapbench.reports.tracking.text import describe_row, shorten, worst_first
from lapbench.results.collect import Collected, collect
from lapbench.results.folder import RecordError
from lapbench.results.provenance import Provenance
from lapbench.results.tidy import tidy
from lapbench.tracking.gates import read_gates
from lapbench.tracking.rows import Partners, data_changes, match_rows, rows_of, setting_changes


@dataclass(frozen=True, eq=False)
class RunComparison:
    """The verdicts on a run.

    Attributes:
        lines: worst first, one for each number of the baseline, in the columns of
            :func:`lapbench.reports.tracking.regression.compare_numbers`, and ``decides``: whether
            the line counts for ``regressed``.
        notes: sentences on both sides, and on data, settings and rows that differ.

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

    Rows are matched by :func:`lapbench.tracking.rows.match_rows`, repetitions are paired, and
    :func:`lapbench.reports.tracking.regression.compare_numbers` gives the verdicts. Where the data
    of a task changed, one line says so, and what is compared by repetition is left out.

    Args:
        baseline: a folder that ``run`` wrote.
        results: another, of another commit, machine or day.
        fail_on: limits such as ``"accuracy:-1pt"``, which replace the margins of their metrics.
            Only these metrics, cells and data decide then. See
            :func:`lapbench.tracking.gates.read_gates`.

    Raises:
        RecordError: if one is not a results folder, or the baseline has no finished cell.
        GateError: if a limit cannot be read, or the baseline does not have its metric.

    """
    old, new = collect(baseline), collect(results)
    old_rows, new_rows = rows_of(old.plan), rows_of(new.plan)
    partners = match_rows(old_rows, new_rows)
    before, after = _numbers(old, {}), _numbers(new, partners)
    if not (before["status"] == "ok").any():
        raise RecordError(
            f"BASELINE: received {baseline}, which has no finished cell; run its suite, or give "
            "another folder"
        )
    gates = read_gates(fail_on, _measured(before))
    changed = data_changes(old_rows, new_rows, partners)
    parts = [
        data_lines(changed),
        compare_cells(_cells(old, before), _cells(new, after)),
        compare_numbers(before, after, {**KINDS, **gates}, changed),
    ]
    lines = pd.concat(parts, ignore_index=True)
    decides = lines["metric"].map(kind_name).isin({CELLS, DATA, *(gates or KINDS)})
    lines = worst_first(lines.assign(decides=decides)).reset_index(drop=True)
    unmatched = {
        "rows": [describe_row(row) for row in new_rows if row not in partners],
        "metrics": sorted(_measured(after) - _measured(before)),
    }
    notes = [
        f"Baseline: {_origin(old)}.",
        f"RESULTS: {_origin(new)}.",
        *setting_changes(old_rows, new_rows, partners),
        *(f"New {what}, not compared: {shorten(n)}." for what, n in unmatched.items() if n),
    ]
    return RunComparison(lines, notes)


def _numbers(run: Collected, partners: Partners) -> pd.DataFrame:
    """Tidy numbers under the names of partners."""
    frame = tidy(run.plan, run.records, run.refused)
    own = frame[ROW].itertuples(index=False, name=None)
    names = pd.DataFrame([partners.get(row, row) for row in own], columns=ROW)
    return frame.assign(**names)


def _measured(frame: pd.DataFrame) -> set[str]:
    return set(KINDS).intersection(map(kind_name, frame["metric"].dropna().unique()))


def _cells(run: Collected, frame: pd.DataFrame) -> pd.DataFrame:
    """One row a cell; one whose attack failed counts as failed."""
    cells = frame.drop_duplicates("key").set_index("key")
    for key, record in run.records.items():
        for attack in record.failed_attacks():
            reason = f"attack {attack.label}: {attack.reason}"
            cells.loc[key, ["status", "reason"]] = "failed", reason
    return cells


def _origin(run: Collected) -> str:
    """Suite, folder, and where the records come from."""
    suite, folder, _ = run.folders[0]
    origins = dict.fromkeys(_provenance(record.provenance) for record in run.records.values())
    return f"suite {suite} in {folder}: {shorten(origins) or 'no record'}"


def _provenance(about: Provenance) -> str:
    packages = [f"{name} {version}" for name, version in about.packages.items()]
    machine = about.accelerator or about.processor
    return ", ".join([f"commit {short_commit(about.commit)}", *packages, machine])
