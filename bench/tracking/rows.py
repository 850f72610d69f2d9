"""Which rows of two plans are compared with each other, and how their settings and data differ."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from lapbench.reports.tracking.text import describe_row, shorten
from lapbench.suite.cells import Cell
from lapbench.suite.names import name_cells
from lapbench.suite.plan import Plan, PlannedCell

Row = tuple[str, str, str, str]
Rows = Mapping[Row, list[PlannedCell]]
Partners = Mapping[Row, Row]


def rows_of(plan: Plan) -> dict[Row, list[PlannedCell]]:
    """Cells of each row: task, backbone, training and method."""
    rows: defaultdict[Row, list[PlannedCell]] = defaultdict(list)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        row = names["task"], names["backbone"], planned.cell.training, names["method"]
        rows[row].append(planned)
    return dict(rows)


def match_rows(baseline: Rows, results: Rows) -> dict[Row, Row]:
    """Row of the baseline that each row of the results is compared with: its namesake.

    A name holds what differs within a plan, so one method with another budget renames its
    neighbours too. Rows without a namesake belong together if their settings are equal; or else if
    they alone are left with the same data set, backbone, training, method and labels.
    """
    partners = {row: row for row in results if row in baseline}
    for identity in (_settings, _parts):
        old = _unique(baseline, partners.values(), identity)
        new = _unique(results, partners, identity)
        partners |= {row: old[text] for text, row in new.items() if text in old}
    return partners


def _unique(
    rows: Rows, matched: Iterable[Row], identity: Callable[[PlannedCell], object]
) -> dict[str, Row]:
    """Rows that are not matched yet, by an identity that no other of them has."""
    texts = {row: repr(identity(cells[0])) for row, cells in rows.items()}
    left = {row: text for row, text in texts.items() if row not in set(matched)}
    counts = Counter(left.values())
    return {text: row for row, text in left.items() if counts[text] == 1}


def _settings(planned: PlannedCell) -> dict[str, Any]:
    """Cell without what its repetitions differ in."""
    tree = TypeAdapter(Cell).dump_python(planned.cell, mode="json")
    del tree["repetition"], tree["sources"]
    return {**tree, "gradient": planned.gradient}


def _parts(planned: PlannedCell) -> tuple[str, ...]:
    cell = planned.cell
    names = cell.dataset.name, cell.backbone.name, cell.method.name
    return (*names, cell.training, planned.label, planned.task)


def setting_changes(baseline: Rows, results: Rows, partners: Partners) -> list[str]:
    """Sentences on settings that differ; rows with the same changes share one."""
    changes: defaultdict[str, list[str]] = defaultdict(list)
    for new, old in partners.items():
        differing = _differences(_settings(baseline[old][0]), _settings(results[new][0]))
        name = describe_row(old) + (f" (in RESULTS {new[3]} on {new[0]})" if new != old else "")
        changes[shorten(differing)].append(name)
    return [
        f"{'all rows' if len(names) == len(partners) else shorten(names)}: settings differ: {text}."
        for text, names in changes.items()
        if text
    ]


def _differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Each place where two trees differ, with both values."""
    if isinstance(old, list) and isinstance(new, list):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            within = f"{place}.{name}" if place else str(name)
            yield from _differences(old.get(name, "absent"), new.get(name, "absent"), within)
    elif old != new:
        yield f"{place}: {old} → {new}"


def data_changes(baseline: Rows, results: Rows, partners: Partners) -> dict[str, str]:
    """By task, how its data changed, where both plans know them."""
    changes: dict[str, str] = {}
    for new, old in partners.items():
        known = {planned.cell.repetition: planned.data for planned in baseline[old]}
        for planned in results[new]:
            before, after = known.get(planned.cell.repetition, ""), planned.data
            if before and after and before != after:
                changes.setdefault(
                    old[0],
                    f"data or split changed (repetition {planned.cell.repetition}: {before[:8]}… → "
                    f"{after[:8]}…), so only times and iterations are compared",
                )
    return changes
