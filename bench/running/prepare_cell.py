"""What a cell starts from: its task and its untrained model."""

from torch import Tensor

from lapbench.datasets.base.task import Task
from lapbench.errors import LapbenchError, NotApplicableError
from lapbench.methods.base.model import Model
from lapbench.suite.cells import Cell


def load_task(cell: Cell) -> Task:
    """The task of a cell, on its device.

    Raises:
        NotApplicableError: if the head does not apply to it.
        LapbenchError: if the data cannot give what the cell asks for.

    """
    task = cell.load_task()
    if reason := cell.method.create_head().skip(task):
        raise NotApplicableError(reason)
    _check(cell, task)
    return task.to(cell.device)


def build_model(cell: Cell, task: Task, pretrained: dict[str, Tensor] | None = None) -> Model:
    """The untrained model of a cell, on its device.

    Raises:
        NotApplicableError: if a term does not apply to it.

    """
    model = cell.build_model(task, pretrained).to(cell.device)
    for term in cell.method.create_terms():
        if reason := model.refuses_terms or term.skip(model):
            raise NotApplicableError(reason)
    return model


def _check(cell: Cell, task: Task) -> None:
    """Refuse what the data cannot give."""
    name, kind = cell.evaluation.split, cell.budget.augmentation
    if not bool((getattr(task, name).y >= 0).any()):
        raise LapbenchError(
            f"evaluation.split: received {name!r}, but {task.name} has no {name} samples; "
            "evaluate on another split, or give the data set such samples"
        )
    images = len(task.input_shape) == 3 and task.bounds == (0.0, 1.0)
    if kind != "none" and not images:
        raise LapbenchError(
            f"budget.augmentation: received {kind!r} for inputs of shape {task.input_shape} in "
            f"{task.bounds}; must be images (channels, height, width) in (0.0, 1.0); use "
            '"none" for other data'
        )
