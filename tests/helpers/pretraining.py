"""Few digits, a small backbone, and quick settings to pretrain it."""

from dataclasses import replace
from typing import Any

import torch
from table import load_task, small_cell
from torch import nn

from lapbench.datasets.base.task import Split, Task
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component
from lapbench.training.simclr import SimCLR

QUICK = SimCLR(epochs=2, batch_size=50, optimizer="adam", learning_rate=0.003)
WILD = SimCLR(epochs=2, batch_size=50, learning_rate=1e38)
DIGITS = replace(
    small_cell("softmax"),
    dataset=Component("digits", {}),
    backbone=Component("small_resnet", {"width": 2, "blocks": 1}),
)


def few_digits(count: int = 101) -> Task:
    task = load_task("digits")
    return replace(task, train=Split(task.train.x[:count], task.train.y[:count]))


def backbone_of(cell: Cell, task: Task) -> nn.Module:
    return cell.build_model(task).backbone


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
