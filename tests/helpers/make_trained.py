"""Models of small cells, in training or trained."""

import torch

from lapbench.datasets.base.task import Task
from lapbench.methods.base.capabilities import finish, phases_of, start_epoch, start_phase
from lapbench.methods.base.model import Model
from lapbench.suite.cells import Cell
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train
from lapbench.training.steps import Recipe


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
