"""Which published numbers correspond to which cells of a plan."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from lapbench import discovery
from lapbench.methods.base.method import Head
from lapbench.reporting.published import Named, PublishedNumber, entries
from lapbench.reports.published import COLUMNS, NUMBER, ROW
from lapbench.suite.cells import Cell, PlannedAttack
from lapbench.suite.components import Component, parse
from lapbench.suite.names import name_cells
from lapbench.suite.plan import Plan
from lapbench.training.adversarial import AdversarialTraining

_ANY = "any"
_LEVELS = {"epsilons": "epsilon", "constants": "c"}
_ROUNDED = 1e-3  # a suite may have 0.0314 for 8/255


def published_rows(plan: Plan) -> pd.DataFrame:
    """Numbers of papers that correspond to rows of a plan's leaderboard, one row for each pair.

    A number corresponds if data set, labels, backbone, method, training, metric, attack, level and
    units are those of the paper. Options that an entry does not name must have their defaults. The
    budgets of training and pretraining may differ; the remarks name them.

    Returns:
        The columns of :mod:`lapbench.reports.published`.

    """
    rows = defaultdict(list)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        row = *names.values(), planned.cell.training
        rows[row].append(planned.cell)
    numbers = [
        {
            **dict(zip(ROW, row, strict=True)),
            **number,
            "published": entry.value,
            "source": entry.source,
            "remarks": _remarks(entry, cells),
        }
        for row, cells in rows.items()
        for entry in entries()
        if _corresponds(entry, cells[0])
        for number in _numbers(entry, cells[0])
    ]
    return pd.DataFrame(numbers, columns=COLUMNS)


def _corresponds(entry: PublishedNumber, cell: Cell) -> bool:
    """Whether an entry belongs to a cell, except for the attack."""
    components = [cell.method.head, *cell.method.terms]
    return (
        cell.evaluation.split == "test"
        and (entry.labeled, entry.train) == (cell.labeled, cell.train)
        and entry.pretrained == (cell.simclr is not None)
        and _is(entry.dataset, "datasets", [cell.dataset])
        and (not entry.backbone or _is(entry.backbone, "backbones", [cell.backbone]))
        and _is(entry.method, "methods", components, cell.scale)
        and _trained_alike(entry.pgd, cell.pgd)
    )


def _trained_alike(published: AdversarialTraining | None, own: AdversarialTraining | None) -> bool:
    if published is None or own is None:
        return published is own
    return all(_same(value, getattr(own, name)) for name, value in vars(published).items())


def _numbers(entry: PublishedNumber, cell: Cell) -> Iterator[dict[str, Any]]:
    """Yield the numbers of a cell that correspond to an entry."""
    if not entry.attack:
        metric = entry.metric or "accuracy"
        yield dict(zip(NUMBER, ("", "", "", 0.0, metric), strict=True))
        return
    metric = entry.metric or "robust_accuracy"
    for planned in cell.robustness.attacks if cell.robustness else ():
        if _is(entry.attack, "attacks", [planned.attack]):
            yield from (
                dict(zip(NUMBER, (planned.label, *level, metric), strict=True))
                for level in _levels(entry, planned)
            )


def _levels(entry: PublishedNumber, planned: PlannedAttack) -> Iterator[tuple[str, str, float]]:
    """Yield norm, parameter and level of an attack that are both published and planned."""
    (options,) = entry.attack.values()
    own = planned.attack.parameters
    for option, parameter in _LEVELS.items():
        for value in own.get(option, []):
            if any(_same(published, value) for published in options[option]):
                yield own.get("norm", ""), parameter, value


def _is(named: Named, kind: str, components: list[Component], scale: float = 1.0) -> bool:
    """Whether names with options are those of components, except for the levels of attacks."""
    if set(named) != {component.name for component in components}:
        return False
    try:
        return all(_has(component, kind, named[component.name], scale) for component in components)
    except ValidationError:  # a plug-in of this name with other options
        return False


def _has(component: Component, kind: str, options: dict[str, Any], scale: float) -> bool:
    """Whether a component has the published options; those missing in a record are defaults."""
    own = complete(kind, component.name, component.parameters)
    published = complete(kind, component.name, options, scale)
    return all(
        _same(value, own.get(option), last=option == "steps")
        for option, value in published.items()
        if option not in _LEVELS
    )


def complete(kind: str, name: str, options: dict[str, Any], scale: float = 1.0) -> dict[str, Any]:
    """Options completed by defaults, without those that are published as "any"."""
    return _complete(kind, name, json.dumps(options), scale)


@cache
def _complete(kind: str, name: str, text: str, scale: float) -> dict[str, Any]:
    kind_class, options = discovery.load(kind, name), json.loads(text)
    fixed = {option: value for option, value in options.items() if value != _ANY}
    created = parse(kind_class, fixed)
    if isinstance(created, Head):
        created = created.scaled(scale)
    every = TypeAdapter(kind_class).dump_python(created, mode="json")
    return {option: value for option, value in every.items() if options.get(option) != _ANY}


def _same(published: Any, own: Any, last: bool = False) -> bool:
    """Whether an option, or with ``last`` the last one of a list, is the published one."""
    if last and isinstance(published, list) and isinstance(own, list):
        return bool(published[-1:] == own[-1:])
    if isinstance(published, float) and isinstance(own, float):
        return math.isclose(published, own, rel_tol=_ROUNDED)
    return bool(published == own)


def _remarks(entry: PublishedNumber, cells: list[Cell]) -> str:
    remarks = []
    if entry.budget:
        simclr = f"{cells[0].simclr}, then " if cells[0].simclr else ""
        here = f"{simclr}{cells[0].budget}, {len(cells)} repetition(s)"
        remarks.append(f"budget published: {entry.budget}; here: {here}")
    if cells[0].scale < 1:
        remarks.append(f"here {cells[0].scale:g} of the training samples")
    about = cells[0].robustness
    if entry.attack and entry.samples and about and about.samples != entry.samples:
        remarks.append(f"attacked: published {entry.samples:,} samples, here {about.samples:,}")
    return "; ".join([*remarks, *entry.caveats])
