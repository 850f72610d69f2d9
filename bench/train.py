"""The training loop, the same for every method."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lapbench.datasets._task import Task
from lapbench.evaluate import accuracy, predict
from lapbench.methods._protocol import Budget, Model
from lapbench.methods.graph import NonFiniteError
from lapbench.seeds import Seeds

Step = Callable[[Model, torch.optim.Optimizer, Tensor, Tensor], float]
"""Makes an optimiser step on inputs and labels and returns the loss."""


class DivergedError(Exception):
    """Training left the finite numbers; the message says where."""


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch (0: before training).

    ``held_out`` are the rows of the training split that the method kept out of the mini-batches.
    """

    number: int
    training_loss: float
    validation_accuracy: float
    held_out: Tensor


def train(
    model: Model,
    task: Task,
    budget: Budget,
    seeds: Seeds,
    evaluation_batch_size: int,
    on_epoch: Callable[[Epoch], None],
    step: Step | None = None,
) -> None:
    """Train a model; its weights are those of the last epoch.

    Validation, after every epoch, only observes. A model without parameters goes through the same
    epochs and stays as it is.

    Args:
        model: on the device of the task.
        task: its training split is learned.
        budget: epochs, batch size and optimiser.
        seeds: streams "order" and "base", and torch's own generator, set anew in each epoch.
        evaluation_batch_size: samples per prediction in validation.
        on_epoch: called before the first epoch and after every one.
        step: makes an optimiser step, by default :func:`take_step`.

    Raises:
        DivergedError: if a loss, or a feature that a graph is built from, is NaN or infinite.

    """
    if budget.epochs == 0:
        on_epoch(Epoch(0, math.nan, math.nan, torch.empty(0, dtype=torch.int64)))
        return
    optimizer = make_optimizer(model, budget)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _learning_rate_factor(budget))
    for number in range(1, budget.epochs + 1):
        held_out = model.start_epoch(task, seeds.stream("base", number))
        if number == 1:
            on_epoch(Epoch(0, math.nan, math.nan, held_out))
        try:
            torch.manual_seed(seeds.integer("torch", number))
            order = _batch_order(task, seeds, number, held_out)
            loss = _epoch(model, task, order.split(budget.batch_size), step or take_step, optimizer)
            found = accuracy(
                predict(model, task.validation.x, evaluation_batch_size), task.validation.y
            )
        except (DivergedError, NonFiniteError) as error:
            raise DivergedError(f"epoch {number}: {error}") from error
        schedule.step()
        on_epoch(Epoch(number, loss, found, held_out))


def make_optimizer(model: Model, budget: Budget) -> torch.optim.Optimizer:
    """Return the optimiser of a budget for all parameters of a model; there may be none."""
    parameters = list(model.parameters()) or [torch.nn.Parameter(torch.empty(0))]
    if budget.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=budget.learning_rate, weight_decay=budget.weight_decay
        )
    return torch.optim.SGD(
        parameters, lr=budget.learning_rate, momentum=0.9, weight_decay=budget.weight_decay
    )


def take_step(model: Model, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    """Make one optimiser step on a mini-batch and return its loss."""
    optimizer.zero_grad()
    loss = model.loss(x, y)
    value = loss.item()
    if not math.isfinite(value):
        raise DivergedError(f"the loss is {value}; lower the learning rate")
    if next(model.parameters(), None) is not None:
        loss.backward()
    optimizer.step()
    return value


def _learning_rate_factor(budget: Budget) -> Callable[[int], float]:
    if budget.schedule == "cosine":
        return lambda epoch: (1 + math.cos(math.pi * epoch / budget.epochs)) / 2
    return lambda _: 1.0


def _batch_order(task: Task, seeds: Seeds, number: int, held_out: Tensor) -> Tensor:
    order = torch.from_numpy(seeds.stream("order", number).permutation(len(task.train)))
    return order[~torch.isin(order, held_out.cpu())].to(task.train.y.device)


def _epoch(
    model: Model,
    task: Task,
    batches: Sequence[Tensor],
    step: Step,
    optimizer: torch.optim.Optimizer,
) -> float:
    """Pass once over the batches of training rows and return the mean loss over the samples."""
    model.train()
    total = 0.0
    for rows in batches:
        total += step(model, optimizer, task.train.x[rows], task.train.y[rows]) * len(rows)
    return total / sum(map(len, batches))
