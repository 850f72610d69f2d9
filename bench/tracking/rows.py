"""Which rows of two plans belong together, and how their settings and data differ."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from lapbench.reports.tracking.text import describe_row, shorten
from lapbench.suite.cells import Cell
from lapbench.suite.names import name_cells
from lapbench.suite.plan import Plan, PlannedCell

Row = tuple[str, str, str, str]
Rows = Mapping[Row, list[PlannedCell]]
Partners = Mapping[Row, Row]

_ABSENT = "absent"
_LETTERS = 8


def rows_of(plan: Plan) -> dict[Row, list[PlannedCell]]:
    """Return the cells of each row: task, backbone, training and method."""
    rows: defaultdict[Row, list[PlannedCell]] = defaultdict(list)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        rows[names["task"], names["backbone"], planned.cell.training, names["method"]].append(
            planned
        )
    return dict(rows)


def match_rows(baseline: Rows, results: Rows) -> dict[Row, Row]:
    """Return for each row of the results that of the baseline which it is compared with.

    It is the one of the same name. A name tells what differs within a plan, so that a method with
    another budget renames its neighbours too: rows without a namesake belong together if their
    settings are equal, or else if they are the only ones left with the same data set, backbone,
    training, method and labels.
    """
    found = {row: row for row in results if row in baseline}
    for identity in (_settings, _parts):
        left = [row for row in baseline if row not in found.values()]
        free = [row for row in results if row not in found]
        old, new = _by_identity(baseline, left, identity), _by_identity(results, free, identity)
        for text, rows in new.items():
            if len(rows) == 1 and len(old.get(text, [])) == 1:
                found[rows[0]] = old[text][0]
    return found


def _by_identity(rows: Rows, names: list[Row], identity: Any) -> dict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for name in names:
        found[repr(identity(rows[name][0]))].append(name)
    return found


def _settings(planned: PlannedCell) -> dict[str, Any]:
    """Return what the repetitions of a row have in common."""
    tree = TypeAdapter(Cell).dump_python(planned.cell, mode="json")
    del tree["repetition"], tree["sources"]
    return {**tree, "gradient": planned.gradient}


def _parts(planned: PlannedCell) -> tuple[str, ...]:
    cell = planned.cell
    names = cell.dataset.name, cell.backbone.name, cell.method.name
    return (*names, cell.training, planned.label, planned.task)


def setting_changes(baseline: Rows, results: Rows, partners: Partners) -> list[str]:
    """Return in sentences which settings of rows differ, rows with the same changes together."""
    changes: defaultdict[str, list[str]] = defaultdict(list)
    for new, old in partners.items():
        differing = list(_differences(_settings(baseline[old][0]), _settings(results[new][0])))
        name = describe_row(old) + (f" (in RESULTS {new[3]} on {new[0]})" if new != old else "")
        changes[shorten(differing)].append(name)
    return [
        f"{'all rows' if len(names) == len(partners) else shorten(names)}: settings differ: {text}."
        for text, names in changes.items()
        if text
    ]


def _differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Yield where two trees differ, each place with both values."""
    if isinstance(old, list) and isinstance(new, list):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            within = f"{place}.{name}" if place else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), within)
    elif old != new:
        yield f"{place}: {old} → {new}"


def data_changes(baseline: Rows, results: Rows, partners: Partners) -> dict[str, str]:
    """Return how the data of tasks changed, where both plans know them, by task."""
    changes: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for new, old in partners.items():
        known = {planned.cell.repetition: planned.data for planned in baseline[old]}
        for planned in results[new]:
            before, after = known.get(planned.cell.repetition, ""), planned.data
            if before and after and before != after:
                text = f"{before[:_LETTERS]}… → {after[:_LETTERS]}…"
                changes[old[0]][planned.cell.repetition] = text
    return {
        task: f"its data or their split changed (repetition "
        f"{shorten(f'{number}: {text}' for number, text in sorted(found.items()))}), so that "
        "of its numbers only times, memory and iterations are compared"
        for task, found in changes.items()
    }
