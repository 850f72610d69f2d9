"""Components, small tasks, cells and trained models, for everything that is discovered."""

import io
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.datasets.files.files import MissingDataError
from lapbench.discovery import load, names
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import finish, phases_of, start_epoch, start_phase
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import Model
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import Outcome, try_cell
from lapbench.suite.cells import Cell, Evaluation
from lapbench.suite.components import Component, Method
from lapbench.suite.plan import PlannedCell
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train
from lapbench.training.metrics import Metric
from lapbench.training.steps import Recipe

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


def in_training(cell: Cell) -> tuple[Model, Task, torch.Tensor]:
    """A model in its first epoch, its task and the rows that it may train on."""
    task = cell.load_task()
    model = cell.build_model(task)
    start_phase(model, phases_of(model, cell.budget)[0])
    held_out = start_epoch(model, task, cell.seeds.stream("base", 1))
    rows = torch.arange(len(task.train))
    return model.train(), task, rows[~torch.isin(rows, held_out)]


def trained(cell: Cell) -> tuple[Model, Task, list[dict[str, float]]]:
    """A trained model of a cell, its task and the curves, an epoch each."""
    task = cell.load_task()
    model = cell.build_model(task)
    curves: list[dict[str, float]] = []

    def observe(epoch: Epoch) -> None:
        if epoch.number:
            curves.append(epoch.curves)

    recipe = Recipe(cell.method.create_terms())
    train(model, task, cell.budget, cell.seeds, recipe, TrainingObserver(epoch=observe))
    finish(model, task, cell.seeds.stream("finish"))
    return model.eval(), task, curves


NODES, EPOCHS = 34, 4


def node_cell(name: str, **options: Any) -> Cell:
    """A cell on the karate club, with the two ReLU layers that label smoothness compares."""
    backbone = Component("gnn", {"width": 8, "layers": 3})
    cell = small_cell(name, **options)
    return replace(cell, dataset=Component("karate", {}), backbone=backbone)


def run(cell: Cell) -> Outcome:
    return try_cell(PlannedCell("key", "exact", cell), ResultsFolder("unused"))


@cache
def outcome(name: str) -> Outcome:
    """What comes of a method as it is; a test may only read it."""
    return run(node_cell(name))


def loaded(cell: Cell, state: dict[str, Any]) -> Model:
    """The model of a state that was stored and read."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    model = cell.build_model(cell.load_task())
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()


def prediction(outcome: Outcome) -> Tensor:
    """Log-probabilities (n, c) of all nodes by the trained model."""
    assert outcome.state is not None, outcome.record.reason
    cell = outcome.record.cell
    predicted: Tensor = loaded(cell, outcome.state)(cell.load_task().test.x)
    return predicted.detach()


def metrics(outcome: Outcome) -> dict[str, Metric]:
    return {metric.metric: metric for metric in outcome.record.metrics}


OPTIONS: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 20},
    "vgg": {"depth": 11},
    "wide_resnet": {"depth": 10, "factor": 1},
}


def images(
    channels: int, height: int, width: int | None = None, samples: int = 20, classes: int = 10
) -> Task:
    """Random images, as wide as high where no width is given, of all classes in turn."""
    shape = (samples, channels, height, width or height)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(samples) % classes)
    return Task("random", split, split, split, num_classes=classes, bounds=(0.0, 1.0))


def built(name: str, task: Task | None = None) -> tuple[Any, Task]:
    """A backbone, with the same weights always, for images or the nodes of a graph; and the task.

    The images are 1×8×8 where no other task is given; what takes nodes only has the karate club.
    """
    backbone, task = create("backbones", name, **OPTIONS.get(name, {})), task or images(1, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            return backbone.build(task), task
        except ValueError:
            task = load_task("karate")
            return backbone.build(task), task


IMAGE_BACKBONES = {name for name in BACKBONES if not built(name)[1].nodes_only}
