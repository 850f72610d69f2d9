"""Suites: TOML files that say which cells to run, checked as a whole."""

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from lapbench import discovery
from lapbench.cells import STRICT, Cell, Component, Evaluation, parse
from lapbench.errors import LapbenchError
from lapbench.methods._protocol import Budget


class SuiteError(LapbenchError):
    """A suite cannot be used; the message lists every mistake with its place."""


@dataclass(frozen=True)
class Suite:
    """Which methods run on which tasks, how often and with what budget."""

    name: str
    title: str
    seeds: int
    threads: int
    tasks: list[tuple[Component, Component]]
    methods: list[tuple[Component, Budget]]
    evaluation: Evaluation

    def with_seeds(self, seeds: int) -> "Suite":
        """Return the suite with another number of repetitions.

        Raises:
            SuiteError: if it is below 1.

        """
        if seeds < 1:
            raise SuiteError(f"seeds: received {seeds}; accepted is an integer >= 1")
        return replace(self, seeds=seeds)

    def cells(self, device: str) -> list[Cell]:
        """Return all cells, repetition by repetition, so that a stopped run is balanced."""
        return [
            Cell(
                dataset=dataset,
                backbone=backbone,
                method=method,
                training="natural",
                budget=budget,
                evaluation=self.evaluation,
                repetition=repetition,
                device=device,
                threads=self.threads,
            )
            for repetition in range(self.seeds)
            for dataset, backbone in self.tasks
            for method, budget in self.methods
        ]


@validated(frozen=True, config=STRICT)
class _File:
    """The fields of a suite file; the entries of tasks and methods are checked apart."""

    title: str
    tasks: Annotated[list[Any], Field(min_length=1)]
    methods: Annotated[list[Any], Field(min_length=1)]
    budget: Budget
    evaluation: Evaluation = Field(default_factory=Evaluation)
    seeds: Annotated[int, Field(ge=1)] = 5
    threads: Annotated[int, Field(ge=1)] = 1


def load_suite(name_or_path: str | Path) -> Suite:
    """Return a suite by its name, or from a TOML file by its path.

    Raises:
        SuiteError: listing every mistake in the file, each with its place.
        UnknownNameError: if there is no suite of this name.
        OSError: if the file cannot be read.

    """
    path = Path(name_or_path)
    is_path = path.suffix == ".toml" or len(path.parts) > 1
    if is_path and not path.is_file():
        known = ", ".join(discovery.names("suites"))
        raise SuiteError(f"there is no file {path}; give the path of one, or a name: {known}")
    try:
        text = path.read_text(encoding="utf-8") if is_path else discovery.suite_text(str(path))
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"{name_or_path} is not valid TOML: {error}") from error
    mistakes: list[str] = []
    file = _check(_File, content, "", mistakes)
    tasks = [_task(entry, place, mistakes) for place, entry in _entries(content, "tasks")]
    methods = [_method(entry, place, mistakes) for place, entry in _entries(content, "methods")]
    _refuse_repeated(tasks, "tasks", mistakes)
    _refuse_repeated(methods, "methods", mistakes)
    if file:
        mistakes += [
            f"evaluation.snapshot_epochs: received {epoch}; the last epoch is {file.budget.epochs}"
            for epoch in file.evaluation.snapshot_epochs
            if epoch > file.budget.epochs
        ]
    if mistakes or file is None:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}"
        raise SuiteError("\n  ".join([f"{name_or_path} has {count}:", *mistakes]))
    return Suite(
        name=path.stem if is_path else path.name,
        title=file.title,
        seeds=file.seeds,
        threads=file.threads,
        tasks=[(dataset, backbone) for dataset, backbone in tasks if dataset and backbone],
        methods=[
            (method, replace(file.budget, **changes)) for method, changes in methods if method
        ],
        evaluation=file.evaluation,
    )


def _refuse_repeated(entries: list[Any], field: str, mistakes: list[str]) -> None:
    for i, entry in enumerate(entries):
        first = entries.index(entry)
        if first < i and None not in entry:
            mistakes.append(f"{field}[{i}]: equal to {field}[{first}]; leave one of them out")


def _entries(content: dict[str, Any], field: str) -> list[tuple[str, Any]]:
    entries = content.get(field)
    if not isinstance(entries, list):
        return []
    return [(f"{field}[{i}]", entry) for i, entry in enumerate(entries)]


def _task(entry: Any, place: str, mistakes: list[str]) -> tuple[Component | None, Component | None]:
    if not isinstance(entry, dict):
        mistakes.append(f"{place}: received {entry!r}; accepted is a table of dataset and backbone")
        return None, None
    table = dict(entry)
    dataset = _component("datasets", table, "dataset", place, mistakes)
    backbone = _component("backbones", table, "backbone", place, mistakes)
    _refuse_rest(table, place, "dataset, backbone, and a table of options for each", mistakes)
    return dataset, backbone


def _method(entry: Any, place: str, mistakes: list[str]) -> tuple[Component | None, dict[str, Any]]:
    """Return the method, and how its budget differs from the suite's."""
    if not isinstance(entry, dict | str):
        mistakes.append(f"{place}: received {entry!r}; accepted are a name and a table with a name")
        return None, {}
    table = dict(entry) if isinstance(entry, dict) else {"name": entry}
    method = _component("methods", table, "name", place, mistakes)
    changes = {}
    if "learning_rate" in table:
        changes["learning_rate"] = table.pop("learning_rate")
        _check(Budget, {"epochs": 1, **changes}, f"{place}.", mistakes)
    _refuse_rest(table, place, "name, learning_rate, and a table of options", mistakes)
    return method, changes


def _component(
    kind: str, table: dict[str, Any], field: str, place: str, mistakes: list[str]
) -> Component | None:
    """Take a name and its options out of a table."""
    name = table.pop(field, None)
    if not isinstance(name, str):
        known = ", ".join(discovery.names(kind))
        mistakes.append(f"{place}.{field}: received {name!r}; accepted are: {known}")
        return None
    try:
        kind_class = discovery.load(kind, name)
    except discovery.UnknownNameError as error:
        mistakes.append(f"{place}.{field}: {error}")
        table.pop(name, None)
        return None
    options = _check(kind_class, table.pop(name, {}), f"{place}.{name}.", mistakes)
    if options is None:
        return None
    return Component(name, TypeAdapter(kind_class).dump_python(options, mode="json"))


def _refuse_rest(table: dict[str, Any], place: str, accepted: str, mistakes: list[str]) -> None:
    mistakes += [f"{place}.{field}: unknown field; accepted are {accepted}" for field in table]


def _check(kind: Any, content: Any, prefix: str, mistakes: list[str]) -> Any:
    """Return the checked object, or None after adding its mistakes, one for each place."""
    try:
        return parse(kind, content)
    except ValidationError as error:
        found: dict[str, str] = {}
        for detail in error.errors():
            unknown = detail["type"] in {"unexpected_keyword_argument", "extra_forbidden"}
            steps = [step for step in detail["loc"] if unknown or not _is_alternative(step)]
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
            place = f"{prefix}{place.removeprefix('.')}".removesuffix(".")
            if unknown:
                found[place] = _accepted_fields(kind, steps[:-1])
            elif detail["type"] in {"missing", "missing_argument"}:
                found[place] = "missing; this field is required"
            elif place in found:
                found[place] += detail["msg"].replace("Input should", " or")
            else:
                message = detail["msg"].replace("Input should", "it should")
                found[place] = f"received {detail['input']!r}; {message}"
        mistakes += [f"{place}: {message}" for place, message in found.items()]
        return None


def _is_alternative(step: int | str) -> bool:
    """Tell the alternatives of a union, which pydantic adds to a place, from its fields."""
    return isinstance(step, str) and (not step.isidentifier() or step in {"int", "float", "str"})


def _accepted_fields(kind: Any, steps: list[int | str]) -> str:
    for step in steps:
        kind = next(field.type for field in fields(kind) if field.name == step)
    return (
        f"unknown field; accepted are {', '.join(field.name for field in fields(kind)) or 'none'}"
    )
