"""Transfer attacks: which cell's model each takes its inputs from."""

from collections.abc import Sequence
from dataclasses import replace

from lapbench.suite.cells import Cell
from lapbench.suite.plan import Plan, PlannedCell
from lapbench.suite.suite import SuiteError

_KEY_LENGTH = 16


def name_sources(suite: str, cells: Sequence[tuple[Cell, str]]) -> list[Cell]:
    """The cells, each with the keys of the cells whose models its attacks use.

    A source is the key of a record, or a method: its cell with the same task, backbone, training
    and repetition. A cell that is a source takes none from other methods.

    Args:
        suite: its name, for messages.
        cells: all of a suite, each with the hash of its data.

    Raises:
        SuiteError: if a name is not that of exactly one cell.

    """
    needed = {name for cell, _ in cells for name in _needs(cell)}
    keys: dict[tuple[str, str], list[str]] = {}
    for cell, digest in cells:
        if cell.method.name in needed:
            keys.setdefault((cell.method.name, _setting(cell)), []).append(cell.key(digest))
    return [
        replace(
            cell,
            sources={
                name: _key(suite, cell, name, keys)
                for name in _needs(cell)
                if _is_key(name) or cell.method.name not in needed
            },
        )
        for cell, _ in cells
    ]


def _is_key(name: str) -> bool:
    return len(name) == _KEY_LENGTH and set(name) <= set("0123456789abcdef")


def _needs(cell: Cell) -> list[str]:
    planned = cell.robustness.attacks if cell.robustness else []
    return [name for attack in planned for name in attack.create().needs()]


def _setting(cell: Cell) -> str:
    """What a cell and its source have in common."""
    return repr(
        (cell.dataset, cell.backbone, cell.labeled, cell.training, cell.repetition, cell.device)
    )


def _key(suite: str, cell: Cell, name: str, keys: dict[tuple[str, str], list[str]]) -> str:
    if _is_key(name):
        return name
    matches = keys.get((name, _setting(cell)), [])
    if len(matches) != 1:
        raise SuiteError(
            f"suite {suite}: received the transfer source {name!r}, the name of {len(matches)} "
            f"cells on {cell.dataset.name}; must be a method that the suite runs there once, or "
            "the key of a record; add the method, or give a key"
        )
    return matches[0]


def with_sources(selected: Sequence[PlannedCell], plan: Plan) -> list[PlannedCell]:
    """Cells with those of the plan that they need, each before the first that needs it."""
    by_key = {planned.key: planned for planned in plan.cells}
    ordered: dict[str, PlannedCell] = {}
    for planned in selected:
        for key in planned.cell.sources.values():
            if key in by_key:
                ordered[key] = by_key[key]
        ordered[planned.key] = planned
    return list(ordered.values())
