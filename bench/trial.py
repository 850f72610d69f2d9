"""Training on trial: steps as a cell will make them, to be measured beforehand or again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from lapbench.batches import make_batches
from lapbench.cells import Cell
from lapbench.datasets._task import Split, Task
from lapbench.methods._budget import Budget
from lapbench.methods._protocol import Model, Phase
from lapbench.train import (
    make_optimizer,
    nonempty_phases,
    only_trainable,
    take_step,
    training_loss,
)


@dataclass(frozen=True, eq=False)
class Trial:
    """A phase of training that has begun.

    Attributes:
        steps: of an epoch, in full batches: a smaller last one is a part of a step.
        make_batch: makes the first batch of an epoch, a full one.
        step: trains on a batch as in the last epoch, with terms and the attack of training.
        loss: that of a step, without the attack.
        optimizer: of the phase.

    """

    steps: float
    make_batch: Callable[[], Split]
    step: Callable[[Split], float]
    loss: Callable[[Split], Tensor]
    optimizer: torch.optim.Optimizer


def distinct_phases(model: Model, budget: Budget) -> list[list[Phase]]:
    """Return the phases that have epochs, those of one name together.

    They differ in their rate and epochs alone, so that a step of one stands for all.
    """
    phases: dict[str, list[Phase]] = {}
    for phase in nonempty_phases(model, budget):
        phases.setdefault(phase.name, []).append(phase)
    return list(phases.values())


@contextmanager
def try_phase(cell: Cell, task: Task, model: Model, phase: Phase) -> Iterator[Trial]:
    """Put a model into a phase of training, ready for steps, and take it out again."""
    model.start_phase(phase)
    optimizer = make_optimizer(phase.parameters, phase.budget)
    held_out = model.start_epoch(task, cell.seeds.stream("base", 1))
    batches = make_batches(task, cell.seeds, 1, held_out, phase.budget)
    recipe, progress = cell.build_recipe(task), 1 - 1 / cell.budget.epochs

    def step(batch: Split) -> float:
        return take_step(model, optimizer, batch.x, batch.y, recipe, progress)

    def loss(batch: Split) -> Tensor:
        return training_loss(model, batch.x, batch.y, recipe, progress)

    first, last = batches[0](), batches[-1]()
    steps = len(batches) - 1 + len(last) / len(first)
    with only_trainable(model, phase):
        yield Trial(steps, batches[0], step, loss, optimizer)
