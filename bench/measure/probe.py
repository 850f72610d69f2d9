"""A phase of training as a cell makes it, for measurements on new models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import Phase, phases_of, start_epoch, start_phase
from lapbench.methods.base.model import Model
from lapbench.suite.cells import Cell
from lapbench.training.batches import make_batches
from lapbench.training.steps import make_optimizer, only_trainable, take_step, training_loss


@dataclass(frozen=True, eq=False)
class Probe:
    """A phase of training that has begun.

    Attributes:
        steps: steps of an epoch; a smaller last batch counts in proportion.
        make_batch: makes the first batch of an epoch, a full one.
        step: trains on a batch as in the last epoch, with terms and the attack of training.
        loss: loss of a step, without the attack.

    """

    steps: float
    make_batch: Callable[[], Split]
    step: Callable[[Split], float]
    loss: Callable[[Split], Tensor]


def distinct_phases(model: Model, budget: Budget) -> list[list[Phase]]:
    """Phases that have epochs, grouped by name; a step of one stands for its group."""
    phases: dict[str, list[Phase]] = {}
    for phase in phases_of(model, budget):
        phases.setdefault(phase.name, []).append(phase)
    return list(phases.values())


@contextmanager
def probe_phase(cell: Cell, task: Task, model: Model, phase: Phase) -> Iterator[Probe]:
    """Put a model into a phase of training, ready for steps, and take it out again."""
    start_phase(model, phase)
    optimizer = make_optimizer(phase.parameters, phase.budget)
    held_out = start_epoch(model, task, cell.seeds.stream("base", 1))
    batches = make_batches(task, cell.seeds, 1, held_out, phase.budget)
    recipe, share = cell.build_recipe(task), 1 - 1 / cell.budget.epochs

    def step(batch: Split) -> float:
        return take_step(model, optimizer, batch.x, batch.y, recipe, share)

    def loss(batch: Split) -> Tensor:
        return training_loss(model, batch.x, batch.y, recipe, share)

    first, last = batches[0](), batches[-1]()
    steps = len(batches) - 1 + len(last) / len(first)
    with only_trainable(model, phase):
        yield Probe(steps, batches[0], step, loss)
