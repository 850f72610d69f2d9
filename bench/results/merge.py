"""Several plans as one, and how records of a cell disagree."""

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
    """Return one plan of the cells of all, in their order.

    Rows of one name whose cells differ in more than their repetition are told apart by the name of
    their suite.

    Raises:
        RecordError: if that does not tell them apart.

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
    """Return the names of each cell's row."""
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
    """Return what the repetitions of a row have in common."""
    tree: dict[str, Any] = TypeAdapter(Cell).dump_python(planned.cell, mode="json")
    return {name: tree[name] for name in tree if name not in ("repetition", "sources")}


def outcome(record: Record) -> dict[str, Any]:
    """Return what two runs of a cell have in common."""
    tree = TypeAdapter(Record).dump_python(record, mode="json")
    parts = ("status", "reason", "metrics", "curves", "attacks", "flags")
    return {part: tree[part] for part in parts}


def first_difference(one: Any, other: Any) -> str:
    """Return in words where two trees first differ, and what stands there; empty if nowhere."""
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
