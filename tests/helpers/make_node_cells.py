"""Cells on the karate club, and what comes of them."""

import io
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from table import small_cell
from torch import Tensor

from lapbench.methods.base.model import Model
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import Outcome, try_cell
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component
from lapbench.suite.plan import PlannedCell
from lapbench.training.metrics import Metric

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


def prediction(found: Outcome) -> Tensor:
    """Log-probabilities (n, c) of all nodes by the trained model."""
    assert found.state is not None, found.record.reason
    cell = found.record.cell
    predicted: Tensor = loaded(cell, found.state)(cell.load_task().test.x)
    return predicted.detach()


def metrics(found: Outcome) -> dict[str, Metric]:
    return {metric.metric: metric for metric in found.record.metrics}
