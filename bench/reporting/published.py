"""The numbers of the papers' tables, and those that correspond to cells of a plan."""

import json
import math
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from lapbench import discovery
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.method import Head
from lapbench.reports.published import COLUMNS, NUMBER, ROW
from lapbench.suite.cells import Cell, PlannedAttack
from lapbench.suite.components import Component, parse
from lapbench.suite.names import name_cells
from lapbench.suite.plan import Plan
from lapbench.training.adversarial import AdversarialTraining

Named = dict[str, dict[str, Any]]
_One = Annotated[Named, Field(min_length=1, max_length=1)]
_AtMostOne = Annotated[Named, Field(max_length=1)]
_ANY = "any"
_LEVELS = {"epsilons": "epsilon", "constants": "c"}
_ROUNDED = 1e-3  # a suite may have 0.0314 for 8/255


@validated(kw_only=True)
class PublishedNumber:
    """A number of a paper, and what it is the number of.

    Attributes:
        source: paper, table, row and column.
        value: a share.
        dataset, backbone, method, attack: names with options, as ``published.toml`` explains.
        labeled, train, pgd: as those of a cell.
        pretrained: whether the backbone was, by SimCLR, whose settings may differ.
        samples: how many were attacked.
        metric: by default the accuracy, under an attack the robust one.
        budget: in words; empty where nothing is trained.
        caveats: what a reader must know beside it.

    """

    source: str
    value: Annotated[float, Field(ge=0, le=1)]
    dataset: _One
    method: Annotated[Named, Field(min_length=1)]
    backbone: _AtMostOne = Field(default_factory=dict)
    attack: _AtMostOne = Field(default_factory=dict)
    labeled: Annotated[int, Field(ge=1)] | None = None
    train: Literal["all", "inner"] = "all"
    pgd: AdversarialTraining | None = None
    pretrained: bool = False
    samples: Annotated[int, Field(ge=1)] | None = None
    metric: str = ""
    budget: str = ""
    caveats: list[str] = Field(default_factory=list)


@cache
def entries() -> tuple[PublishedNumber, ...]:
    """Return all numbers of ``published.toml``.

    Raises:
        pydantic.ValidationError, KeyError, ValueError: if the file has a mistake, which its test
            finds.

    """
    text = resources.files("lapbench.reports").joinpath("published.toml").read_text("utf-8")
    file = tomllib.loads(text)
    return tuple(entry for table in file.pop("tables") for entry in _of_table(table, **file))


def _of_table(
    table: dict[str, Any], papers: dict[str, str], methods: dict[str, Named]
) -> Iterator[PublishedNumber]:
    source = f"{papers[table.pop('paper')]}, table {table.pop('table')}"
    printed, columns = table.pop("printed"), table.pop("columns", [{}])
    for row in table.pop("rows"):
        for column, number in zip(columns, row["numbers"], strict=True):
            if math.isnan(number):
                continue
            parts = (table, column, row)
            fields = {**table, **column, **row}
            names = [part["name"] for part in (row, column) if "name" in part]
            del fields["name"], fields["numbers"]
            fields |= {
                "source": ", ".join([source, *names]),
                "value": _share(number, printed),
                "method": methods[fields["method"]],
                "caveats": [text for part in parts for text in part.get("caveats", [])],
            }
            entry: PublishedNumber = parse(PublishedNumber, fields)
            yield entry


def _share(number: float, printed: str) -> float:
    """Return an accuracy as a share, of an accuracy or an error in per cent."""
    accuracies = {"accuracy [%]": number, "error [%]": 100 - number}
    return round(accuracies[printed] / 100, 6)


def published_rows(plan: Plan) -> pd.DataFrame:
    """Return the published numbers that correspond to rows of a plan's leaderboard.

    A number corresponds if data set, labels, backbone, method, training, metric, attack and level
    are those of the paper. Options that an entry does not name must have their defaults, and units
    must be equal. What may differ is the budget, that of a pretraining too, which the remarks then
    say in words.

    Returns:
        The columns of :mod:`lapbench.reports.published`, one row for each number and row of the
        leaderboard.

    """
    rows = defaultdict(list)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        row = *names.values(), planned.cell.training
        rows[row].append(planned.cell)
    found = [
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
    return pd.DataFrame(found, columns=COLUMNS)


def _corresponds(entry: PublishedNumber, cell: Cell) -> bool:
    """Whether an entry is of a cell, its attack aside."""
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


def _trained_alike(
    published: AdversarialTraining | None, found: AdversarialTraining | None
) -> bool:
    if published is None or found is None:
        return published is found
    return all(_same(value, getattr(found, name)) for name, value in vars(published).items())


def _numbers(entry: PublishedNumber, cell: Cell) -> Iterator[dict[str, Any]]:
    """Yield which numbers of a cell an entry is published for."""
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
    """Yield norm, parameter and level at which an attack is both published and planned."""
    (options,) = entry.attack.values()
    own = planned.attack.parameters
    for option, parameter in _LEVELS.items():
        for value in own.get(option, []):
            if any(_same(published, value) for published in options[option]):
                yield own.get("norm", ""), parameter, value


def _is(named: Named, kind: str, components: list[Component], scale: float = 1.0) -> bool:
    """Whether names with options are those of components, levels of attacks aside.

    Numbers of samples are scaled as those of the components were.
    """
    if set(named) != {component.name for component in components}:
        return False
    try:
        return all(_has(component, kind, named[component.name], scale) for component in components)
    except ValidationError:  # a plug-in of this name with other options
        return False


def _has(component: Component, kind: str, options: dict[str, Any], scale: float) -> bool:
    """Whether a component has published options; those that its record lacks came after it."""
    found = complete(kind, component.name, component.parameters)
    published = complete(kind, component.name, options, scale)
    return all(
        _same(value, found.get(option), last=option == "steps")
        for option, value in published.items()
        if option not in _LEVELS
    )


def complete(kind: str, name: str, options: dict[str, Any], scale: float = 1.0) -> dict[str, Any]:
    """Return options with the defaults of those that are not named, without those that are open.

    Raises:
        pydantic.ValidationError: if an option is unknown or has a value that is not accepted.

    """
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


def _same(published: Any, found: Any, last: bool = False) -> bool:
    """Whether an option is the published one, or the last of a list is."""
    if last and isinstance(published, list) and isinstance(found, list):
        return bool(published[-1:] == found[-1:])
    if isinstance(published, float) and isinstance(found, float):
        return math.isclose(published, found, rel_tol=_ROUNDED)
    return bool(published == found)


def _remarks(entry: PublishedNumber, cells: list[Cell]) -> str:
    """Return in words how budgets differ, and the caveats."""
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
