"""Plans of several folders merged into one, and differences of records."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from lapbench.results.folder import RecordError
from lapbench.results.records import Record
from lapbench.suite.cells import Cell
from lapbench.suite.names import name_cells
from lapbench.suite.plan import SCHEMA, Plan, PlannedCell

_ABSENT = "absent"

Row = tuple[str, ...]


def merge(plans: Sequence[Plan]) -> Plan:
    """One plan with the cells of all, in their order.

    Rows of the same name whose cells differ in more than the repetition get the name of their
    suite.

    Raises:
        RecordError: if rows still have the same name.

    """
    cells: dict[str, PlannedCell] = {}
    suites: dict[str, str] = {}
    for plan in plans:
        for planned in plan.cells:
            cells.setdefault(planned.key, planned)
            suites.setdefault(planned.key, plan.suite)
    mixed = dict(_mixed_rows(list(cells.values())))
    apart = [
        replace(planned, label=f"{row[2]} (suite {suites[planned.key]})")
        if row in mixed
        else planned
        for planned, row in zip(cells.values(), _rows(list(cells.values())), strict=True)
    ]
    for row, why in _mixed_rows(apart):
        raise RecordError(
            f"{row[2]} on {row[0]} with {row[1]}, {row[3]} training, would mix cells whose {why}; "
            "report on the folders apart"
        )
    titles = list(dict.fromkeys(plan.title for plan in plans))
    names = list(dict.fromkeys(plan.suite for plan in plans))
    return Plan(SCHEMA, " + ".join(names), " + ".join(titles), apart)


def _rows(cells: list[PlannedCell]) -> list[Row]:
    named = zip(cells, name_cells(cells), strict=True)
    return [(*names.values(), planned.cell.training) for planned, names in named]


def _mixed_rows(cells: list[PlannedCell]) -> Iterator[tuple[Row, str]]:
    """Yield rows whose cells are not repetitions of one another, and how they differ."""
    rows: defaultdict[Row, list[PlannedCell]] = defaultdict(list)
    for planned, row in zip(cells, _rows(cells), strict=True):
        rows[row].append(planned)
    for row, own in rows.items():
        first, *others = map(_setting, own)
        why = next(filter(None, (first_difference(first, other) for other in others)), "")
        if not why and len({planned.cell.repetition for planned in own}) < len(own):
            why = "methods or data are of different versions"
        if why:
            yield row, why


def _setting(planned: PlannedCell) -> dict[str, Any]:
    """All of a cell but its repetition and the sources of transferred attacks."""
    tree: dict[str, Any] = TypeAdapter(Cell).dump_python(planned.cell, mode="json")
    return {name: tree[name] for name in tree if name not in ("repetition", "sources")}


def outcome(record: Record) -> dict[str, Any]:
    """Parts of a record that two runs of a cell share."""
    tree = TypeAdapter(Record).dump_python(record, mode="json")
    parts = ("status", "reason", "metrics", "curves", "attacks", "flags")
    return {part: tree[part] for part in parts}


def first_difference(one: Any, other: Any) -> str:
    """First difference of two trees in words, with both values; empty if there is none."""
    left, right = dict(_leaves(one)), dict(_leaves(other))
    for place in {**left, **right}:
        values = left.get(place, _ABSENT), right.get(place, _ABSENT)
        if values[0] != values[1]:
            return f"{place} is {values[0]} and {values[1]}"
    return ""


def _leaves(tree: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a tree as JSON, each with its place."""
    if isinstance(tree, dict | list) and tree:
        about = tree.get("metric") if isinstance(tree, dict) else None
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for name, branch in pairs:
            within = f"{place}.{name}" if place else str(name)
            yield from _leaves(branch, f"{within} ({about})" if about else within)
    else:
        yield place, json.dumps(tree, ensure_ascii=False)
