"""Names of cells in tables: task, backbone and method, with the options that differ."""

import json
from collections import defaultdict
from collections.abc import Sequence

from lapbench.suite.cells import Cell
from lapbench.suite.components import Component
from lapbench.suite.plan import PlannedCell


def name_cells(cells: Sequence[PlannedCell]) -> list[dict[str, str]]:
    """Task, backbone and method of each cell, with the parameters that tell them apart."""
    parts: dict[str, list[list[Component]]] = {
        "task": [[_task(planned.cell)] for planned in cells],
        "backbone": [[planned.cell.backbone] for planned in cells],
        "method": [[p.cell.method.head, *p.cell.method.terms] for p in cells],
    }
    columns = {column: _tell_apart(each) for column, each in parts.items()}
    columns["task"] = [
        _at_scale(planned.task or name, planned.cell)
        for name, planned in zip(columns["task"], cells, strict=True)
    ]
    columns["method"] = [
        planned.label or _with_variant(name.removeprefix("softmax + "), variant)
        for name, planned, variant in zip(columns["method"], cells, _variants(cells), strict=True)
    ]
    return [dict(zip(columns, names, strict=True)) for names in zip(*columns.values(), strict=True)]


def _variants(cells: Sequence[PlannedCell]) -> list[list[str]]:
    """The fields of each cell, but the parts of its method, that differ within its task."""
    fields = [
        {
            field: f"{value:g}" if isinstance(value, float) else str(value)
            for field, value in {**vars(p.cell.budget), "train": p.cell.train}.items()
        }
        for p in cells
    ]
    tasks = [json.dumps([vars(_task(p.cell)), vars(p.cell.backbone), p.cell.scale]) for p in cells]
    variants: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for task, own in zip(tasks, fields, strict=True):
        for field, value in own.items():
            variants[task, field].add(value)
    return [
        [f"{field}={value}" for field, value in own.items() if len(variants[task, field]) > 1]
        for task, own in zip(tasks, fields, strict=True)
    ]


def _with_variant(name: str, variant: list[str]) -> str:
    return f"{name} ({', '.join(variant)})".replace(") (", ", ") if variant else name


def _at_scale(task: str, cell: Cell) -> str:
    return task if cell.scale == 1 else f"{task} at scale {cell.scale}"


def _task(cell: Cell) -> Component:
    labeled = "all" if cell.labeled is None else cell.labeled
    return Component(cell.dataset.name, {**cell.dataset.parameters, "labeled": labeled})


def _tell_apart(items: list[list[Component]]) -> list[str]:
    """The joined names of each item's components, with the parameters that differ."""
    variants: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for components in items:
        for part in components:
            for parameter, value in part.parameters.items():
                variants[part.name, parameter].add(json.dumps(value, sort_keys=True))
    names = []
    for components in items:
        several = sum(any(v is not None for v in p.parameters.values()) for p in components) > 1
        differing = [
            f"{part.name}.{parameter}={value}" if several else f"{parameter}={value}"
            for part in components
            for parameter, value in part.parameters.items()
            if len(variants[part.name, parameter]) > 1 and value is not None
        ]
        name = " + ".join(part.name for part in components)
        names.append(f"{name} ({', '.join(differing)})" if differing else name)
    return names
