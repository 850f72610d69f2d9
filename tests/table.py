"""One table for all contract tests: everything that is discovered."""

from typing import Any

import numpy as np

from lapbench.cells import Cell, Component, Evaluation
from lapbench.datasets._task import Task
from lapbench.discovery import load, names
from lapbench.methods._protocol import Budget

METHODS = names("methods")
DATASETS = names("datasets")
BACKBONES = names("backbones")

BUDGET = Budget(epochs=2, batch_size=100)


def create(kind: str, name: str, **options: Any) -> Any:
    """An object of a discovered class."""
    return load(kind, name)(**options)


def small_task() -> Task:
    """Two moons of 160 points."""
    task: Task = create("datasets", "two_moons", samples=160).load(np.random.default_rng(0))
    return task


def small_cell(method: str) -> Cell:
    """A cell that trains in a second."""
    return Cell(
        dataset=Component("two_moons", {"samples": 160}),
        backbone=Component("mlp", {"width": 8}),
        method=Component(method, {}),
        training="natural",
        budget=BUDGET,
        evaluation=Evaluation(),
        repetition=0,
        device="cpu",
        threads=1,
    )
