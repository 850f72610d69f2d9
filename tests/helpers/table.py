"""One table for all contract tests: everything that is discovered."""

from typing import Any

import numpy as np
import pytest

from lapbench.datasets.base.task import Task
from lapbench.datasets.files.files import MissingDataError
from lapbench.discovery import load, names
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.method import Head
from lapbench.suite.cells import Cell, Evaluation
from lapbench.suite.components import Component, Method

METHODS = names("methods")
DATASETS = names("datasets")
BACKBONES = names("backbones")

BUDGET = Budget(epochs=4, batch_size=100)


def create(kind: str, name: str, **options: Any) -> Any:
    """An object of a discovered class."""
    return load(kind, name)(**options)


def load_task(name: str, seed: int = 0, **options: Any) -> Task:
    """The task of a data set; where its files are not there, the test is skipped."""
    try:
        task: Task = create("datasets", name, **options).load(np.random.default_rng(seed))
    except MissingDataError as error:
        pytest.skip(str(error))
    return task


def small_task() -> Task:
    """Two moons of 160 points."""
    task: Task = create("datasets", "two_moons", samples=160).load(np.random.default_rng(0))
    return task


def method(name: str, **options: Any) -> Method:
    """A head, or softmax with a term."""
    if issubclass(load("methods", name), Head):
        return Method(Component(name, options))
    return Method(Component("softmax", {}), [Component(name, options)])


def small_cell(name: str, **options: Any) -> Cell:
    """A cell that trains in a second."""
    return Cell(
        dataset=Component("two_moons", {"samples": 160}),
        backbone=Component("mlp", {"width": 8}),
        method=method(name, **options),
        training="natural",
        pgd=None,
        budget=BUDGET,
        evaluation=Evaluation(),
        repetition=0,
        device="cpu",
        threads=1,
    )
