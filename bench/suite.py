"""Suites: TOML files that say which cells to run, checked as a whole."""

import tomllib
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass as validated

from lapbench import discovery
from lapbench.adversarial import PGD
from lapbench.cells import STRICT, Cell, Evaluation, Method
from lapbench.errors import LapbenchError
from lapbench.methods._protocol import Budget
from lapbench.suite_entries import Entry, check, method_entry, task_entry

Training = Literal["natural", "pgd"]
NATURAL: Training = "natural"


class SuiteError(LapbenchError):
    """A suite cannot be used; the message lists every mistake with its place."""


@dataclass(frozen=True)
class Suite:
    """Which methods run on which tasks, how often and with what budget."""

    name: str
    title: str
    seeds: int
    threads: int
    tasks: list[Entry]
    methods: list[tuple[Method, Budget]]
    training: list[Training]
    pgd: PGD | None
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
                dataset=task.dataset,
                backbone=task.backbone,
                labeled=task.labeled,
                method=method,
                training=training,
                pgd=self.pgd if training == "pgd" else None,
                budget=budget,
                evaluation=self.evaluation,
                repetition=repetition,
                device=device,
                threads=self.threads,
            )
            for repetition, task, training, (method, budget) in product(
                range(self.seeds), self.tasks, self.training, self.methods
            )
        ]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


@validated(frozen=True, config=STRICT)
class _File:
    """The fields of a suite file; the entries of tasks and methods are checked apart."""

    title: str
    tasks: Annotated[list[Any], Field(min_length=1)]
    methods: Annotated[list[Any], Field(min_length=1)]
    budget: Budget
    training: Annotated[list[Training], BeforeValidator(_as_list), Field(min_length=1)] = field(
        default_factory=lambda: [NATURAL]
    )
    pgd: PGD | None = None
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
    file = check(_File, content, "", mistakes)
    tasks = [task_entry(entry, place, mistakes) for place, entry in _entries(content, "tasks")]
    entries = [
        method_entry(entry, place, mistakes) for place, entry in _entries(content, "methods")
    ]
    budget = file.budget if file else Budget(epochs=1)
    methods = [entry and (entry[0], replace(budget, **entry[1])) for entry in entries]
    _refuse_repeated(tasks, "tasks", mistakes)
    _refuse_repeated(methods, "methods", mistakes)
    if file:
        _refuse_repeated(file.training, "training", mistakes)
        mistakes += _contradictions(file)
    if mistakes or file is None:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}"
        raise SuiteError("\n  ".join([f"{name_or_path} has {count}:", *mistakes]))
    return Suite(
        name=path.stem if is_path else path.name,
        title=file.title,
        seeds=file.seeds,
        threads=file.threads,
        tasks=[task for task in tasks if task],
        methods=[method for method in methods if method],
        training=file.training,
        pgd=file.pgd,
        evaluation=file.evaluation,
    )


def _contradictions(file: _File) -> list[str]:
    """Return the mistakes that lie between the fields of a suite."""
    found = [
        f"evaluation.snapshot_epochs: received {epoch}; the last epoch is {file.budget.epochs}"
        for epoch in file.evaluation.snapshot_epochs
        if epoch > file.budget.epochs
    ]
    if "pgd" in file.training and file.pgd is None:
        found.append('pgd: missing; training = "pgd" needs a table with epsilon and step_size')
    if "pgd" not in file.training and file.pgd is not None:
        found.append('pgd: not used; add training = "pgd" (or ["natural", "pgd"]), or leave it out')
    return found


def _refuse_repeated(entries: list[Any], field: str, mistakes: list[str]) -> None:
    for i, entry in enumerate(entries):
        first = entries.index(entry)
        if first < i and entry is not None:
            mistakes.append(f"{field}[{i}]: equal to {field}[{first}]; leave one of them out")


def _entries(content: dict[str, Any], field: str) -> list[tuple[str, Any]]:
    entries = content.get(field)
    if not isinstance(entries, list):
        return []
    return [(f"{field}[{i}]", entry) for i, entry in enumerate(entries)]
