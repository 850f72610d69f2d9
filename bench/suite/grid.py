"""Grids: entries of a suite that stand for several."""

from copy import deepcopy
from itertools import product
from typing import Annotated, Any

from pydantic import Field, ValidationError

from lapbench.suite.components import parse

_Values = Annotated[list[Any], Field(min_length=1)]
_Options = Annotated[dict[str, _Values], Field(min_length=1)]
_Grid = Annotated[dict[str, _Options], Field(min_length=1)]


def expand_task(table: dict[str, Any], place: str, mistakes: list[str]) -> list[Any]:
    """The entries of ``tasks`` for a task with a grid, one for each combination.

    ``grid`` has a table for the data set or the backbone, with lists of values for options.
    """
    parts = [table[field] for field in ("dataset", "backbone") if isinstance(table.get(field), str)]
    return _expand(table, parts, place, mistakes)


def expand_method(table: dict[str, Any], place: str, mistakes: list[str]) -> list[Any]:
    """The entries of ``methods`` for a method with a grid, one for each combination.

    ``grid`` has a table for each part of the method, with lists of values for options.
    """
    name = table.get("name")
    parts = [part.strip() for part in name.split("+")] if isinstance(name, str) else []
    if "label" in table:
        mistakes.append(
            f"{place}.label: received {table['label']!r} beside a grid; must be left out, as "
            "the methods of a grid are named by their options"
        )
        return []
    return _expand(table, parts, place, mistakes)


def _expand(table: dict[str, Any], parts: list[str], place: str, mistakes: list[str]) -> list[Any]:
    rest = {field: value for field, value in table.items() if field != "grid"}
    try:
        grid = parse(_Grid, table["grid"])
    except ValidationError:
        mistakes.append(
            f"{place}.grid: received {table['grid']!r}; must be a table for each part, with "
            "lists of values for options, as in grid.gll.tau = [0.0, 0.01]"
        )
        return []
    wrong = _beside_grid(rest, grid, parts, place)
    mistakes += wrong
    if wrong:
        return []
    axes = [
        [(part, option, value) for value in values]
        for part, options in grid.items()
        for option, values in options.items()
    ]
    entries = []
    for chosen in product(*axes):
        expanded = deepcopy(rest)
        for part, option, value in chosen:
            expanded.setdefault(part, {})[option] = value
        entries.append(expanded)
    return entries


def _beside_grid(
    rest: dict[str, Any], grid: dict[str, Any], parts: list[str], place: str
) -> list[str]:
    """The mistakes between a grid and the other fields of its entry."""
    mistakes = [
        f"{place}.grid.{part}: unknown part; must be one of {', '.join(parts) or '(none)'}"
        for part in grid
        if part not in parts
    ]
    mistakes += [
        f"{place}.{part}: received {rest[part]!r}; must be a table of options"
        for part in grid
        if part in parts and not isinstance(rest.get(part, {}), dict)
    ]
    mistakes += [
        f"{place}.{part}.{option}: received {rest[part][option]!r}, but the grid sets it too; "
        "remove one of them"
        for part, options in grid.items()
        for option in options
        if part in parts and isinstance(rest.get(part), dict) and option in rest[part]
    ]
    return mistakes
