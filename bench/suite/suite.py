"""Suites: TOML files that say which cells to run, checked as a whole."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lapbench import discovery
from lapbench.datasets.base.validated import validated
from lapbench.errors import LapbenchError
from lapbench.methods.base.budget import Budget
from lapbench.suite.attacks import robustness_entry
from lapbench.suite.cells import Cell, Evaluation, Precision, Robustness
from lapbench.suite.checks import numbered, refuse_equal_cells, refuse_repeated
from lapbench.suite.entries import (
    MethodEntry,
    TaskEntry,
    check,
    method_entry,
    scaled_method,
    task_entry,
)
from lapbench.suite.grid import expand_method, expand_task
from lapbench.training.adversarial import AdversarialTraining
from lapbench.training.simclr import SimCLR

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
    tasks: list[TaskEntry]
    methods: list[MethodEntry]
    budget: Budget
    training: list[Training]
    pgd: AdversarialTraining | None
    evaluation: Evaluation
    robustness: Robustness | None
    simclr: SimCLR | None = None
    scale: float = 1.0

    def with_seeds(self, seeds: int) -> "Suite":
        """The suite with another number of repetitions.

        Raises:
            SuiteError: if it is below 1.

        """
        if seeds < 1:
            raise SuiteError(f"seeds: received {seeds}; must be an integer >= 1")
        return replace(self, seeds=seeds)

    def scaled(self, share: float) -> "Suite":
        """The suite with a share of epochs, training data, attacked samples, and seeds.

        Batches and learning rates shrink with the data. The test data stay whole, and so do graphs
        of nodes.

        Raises:
            SuiteError: if the share is not above 0 and at most 1, or two methods become the same.

        """
        if not 0 < share <= 1:
            raise SuiteError(f"scale: received {share}; must be above 0, and at most 1")
        scaled = replace(self, scale=share, seeds=max(1, round(share * self.seeds)))
        cells = [repr(cell) for cell, *_ in scaled.with_seeds(1).cells("cpu")]
        if len(set(cells)) < len(cells):
            raise SuiteError(
                f"scale: received {share}, at which methods of suite {self.name} become the same; "
                "must be larger"
            )
        return scaled

    def cells(
        self, device: str, precision: Precision = "float32"
    ) -> list[tuple[Cell, TaskEntry, MethodEntry]]:
        """All cells, each with the entries of its task and method.

        They come repetition by repetition, so that a stopped run is balanced.
        """
        return [
            (self._cell(task, training, entry, repetition, device, precision), task, entry)
            for repetition, task, training, entry in product(
                range(self.seeds), self.tasks, self.training, self.methods
            )
        ]

    def _cell(
        self,
        task: TaskEntry,
        training: Training,
        entry: MethodEntry,
        repetition: int,
        device: str,
        precision: Precision,
    ) -> Cell:
        budget = replace(self.budget, **task.budget | entry.budget)
        whole_data: bool = discovery.load("datasets", task.dataset.name).nodes_only
        whole = whole_data or self.scale == 1
        method = entry.method if whole else scaled_method(entry.method, self.scale)
        return Cell(
            dataset=task.dataset,
            backbone=task.backbone,
            labeled=task.labeled,
            method=method,
            training=training,
            pgd=self.pgd if training == "pgd" else None,
            budget=budget.scaled(self.scale, whole_data),
            evaluation=self.evaluation.scaled(self.scale, budget),
            repetition=repetition,
            device=device,
            threads=self.threads,
            train=entry.train,
            robustness=self.robustness and self.robustness.scaled(self.scale),
            scale=self.scale,
            precision=precision,
            simclr=self.simclr and self.simclr.scaled(self.scale),
        )


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


@validated
class _File:
    """The fields of a suite file; tasks, methods and attacks are checked apart."""

    title: str
    tasks: Annotated[list[Any], Field(min_length=1)]
    methods: Annotated[list[Any], Field(min_length=1)]
    budget: Budget
    training: Annotated[list[Training], BeforeValidator(_as_list), Field(min_length=1)] = field(
        default_factory=lambda: [NATURAL]
    )
    pgd: AdversarialTraining | None = None
    simclr: SimCLR | None = None
    evaluation: Evaluation = Field(default_factory=Evaluation)
    robustness: Any = None
    seeds: Annotated[int, Field(ge=1)] = 5
    threads: Annotated[int, Field(ge=1)] = 1


def load_suite(name_or_path: str | Path) -> Suite:
    """A suite by its name, or from a TOML file by its path.

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
    tasks = [
        (place, task_entry(entry, place, mistakes))
        for place, entry in _entries(content, "tasks", expand_task, mistakes)
    ]
    placed = [
        (place, method_entry(entry, place, mistakes))
        for place, entry in _entries(content, "methods", expand_method, mistakes)
    ]
    methods = [method for _, method in placed]
    attacked = content.get("robustness")
    robustness = None if attacked is None else robustness_entry(attacked, mistakes)
    refuse_equal_cells(tasks, placed, file.budget if file else Budget(epochs=1), mistakes)
    labels = [(f"{place}.label", method.label) for place, method in placed if method]
    refuse_repeated([(place, label) for place, label in labels if label], mistakes)
    if file:
        refuse_repeated(numbered(file.training, "training"), mistakes)
        mistakes += _contradictions(file, [task for _, task in tasks if task])
    mistakes = list(dict.fromkeys(mistakes))
    if mistakes or file is None:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}"
        raise SuiteError("\n  ".join([f"{name_or_path} has {count}:", *mistakes]))
    return Suite(
        name=path.stem if is_path else path.name,
        title=file.title,
        seeds=file.seeds,
        threads=file.threads,
        tasks=[task for _, task in tasks if task],
        methods=[method for method in methods if method],
        budget=file.budget,
        training=file.training,
        pgd=file.pgd,
        evaluation=file.evaluation,
        robustness=robustness,
        simclr=file.simclr,
    )


def _contradictions(file: _File, tasks: list[TaskEntry]) -> list[str]:
    """Fields of a suite that contradict each other."""
    last = max((replace(file.budget, **task.budget).epochs for task in tasks), default=0)
    mistakes = [
        f"evaluation.snapshot_epochs: received {epoch}; must be at most {last}, the last epoch"
        for epoch in file.evaluation.snapshot_epochs
        if epoch > last and tasks
    ]
    if "pgd" in file.training and file.pgd is None:
        mistakes.append('pgd: missing; training = "pgd" needs a table with epsilon and step_size')
    if "pgd" not in file.training and file.pgd is not None:
        mistakes.append('pgd: not used; add training = "pgd" (or ["natural", "pgd"]), or remove it')
    return mistakes


def _entries(
    content: dict[str, Any],
    field: str,
    expand: Callable[[dict[str, Any], str, list[str]], list[Any]],
    mistakes: list[str],
) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a field with their places, those with a grid one by one."""
    entries = content.get(field)
    for place, entry in numbered(entries if isinstance(entries, list) else [], field):
        if isinstance(entry, dict) and "grid" in entry:
            yield from ((place, expanded) for expanded in expand(entry, place, mistakes))
        else:
            yield place, entry
