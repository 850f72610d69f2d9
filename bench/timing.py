"""Time of a training step, beside that of softmax in the same process."""

import gc
import time
from dataclasses import dataclass

import torch

from lapbench.cells import Cell
from lapbench.datasets._task import Task
from lapbench.methods._protocol import Head
from lapbench.methods.softmax import Softmax
from lapbench.train import make_optimizer, take_step

_WARM_UP = 3
_MEASURED = 10


@dataclass(frozen=True)
class StepTiming:
    """Seconds of single training steps, of the method and of softmax, taken in turns."""

    step_seconds: list[float]
    softmax_step_seconds: list[float]


def time_steps(cell: Cell, task: Task, head: Head) -> StepTiming:
    """Time training steps of fresh models of a cell's method and of softmax.

    Both have the cell's backbone, budget and first mini-batch. The steps alternate, so that a busy
    machine slows both; garbage collection is off.
    """
    turns = []
    for each in (head, Softmax()):
        model = cell.build_model(task, each).to(cell.device).train()
        held_out = model.start_epoch(task, cell.seeds.stream("base", 1)).cpu()
        rows = torch.arange(len(task.train))
        rows = rows[~torch.isin(rows, held_out)][: cell.budget.batch_size].to(task.train.y.device)
        optimizer = make_optimizer(model, cell.budget)
        turns.append((model, optimizer, task.train.x[rows], task.train.y[rows]))
    seconds: tuple[list[float], list[float]] = ([], [])
    collecting = gc.isenabled()
    gc.disable()
    try:
        for round_number in range(_WARM_UP + _MEASURED):
            # Who goes first changes, as the first may find colder caches.
            for which in (0, 1) if round_number % 2 else (1, 0):
                start = _now(cell.device)
                take_step(*turns[which])
                seconds[which].append(_now(cell.device) - start)
    finally:
        if collecting:
            gc.enable()
    return StepTiming(seconds[0][_WARM_UP:], seconds[1][_WARM_UP:])


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter()
