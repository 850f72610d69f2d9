"""The training loop, the same for every method."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import numbers_of, phases_of, start_epoch, start_phase
from lapbench.methods.base.model import Model
from lapbench.methods.graph import NonFiniteError
from lapbench.seeds import Seeds
from lapbench.training.batches import make_batches
from lapbench.training.events import UNOBSERVED, Epoch, TrainingObserver
from lapbench.training.metrics import accuracy, of_known_class, predict
from lapbench.training.state import State, restore_model, training_state
from lapbench.training.steps import DivergedError, Recipe, make_optimizer, only_trainable, take_step


def train(
    model: Model,
    task: Task,
    budget: Budget,
    seeds: Seeds,
    recipe: Recipe | None = None,
    observer: TrainingObserver = UNOBSERVED,
    saved: State | None = None,
) -> None:
    """Train a model through its phases; its weights are those of the last epoch.

    Mini-batches hold training samples of known class; on a node task the one batch is all nodes.
    Validation, after every epoch, only observes.

    Args:
        model: on the device of the task.
        task: its training split is learned.
        budget: of all phases together.
        seeds: streams "order" and "base", and torch's own generator, set anew for each batch.
        recipe: terms and attack; by default none.
        observer: makes the steps, and is told of epochs and states.
        saved: what an interrupted training of the same model saved; it goes on after that epoch,
            as if it had not been interrupted.

    Raises:
        DivergedError: if a loss, or a feature that a graph is built from, is NaN or infinite.
        ValueError: if the method cannot divide the budget into its phases.

    """
    recipe, phases = recipe or Recipe(), phases_of(model, budget)
    number, done = 0, saved["epoch"] if saved else 0
    if saved:
        restore_model(model, saved)
    for phase in phases:
        if number + phase.budget.epochs <= done:
            number += phase.budget.epochs
            continue
        start_phase(model, phase)
        optimizer = make_optimizer(phase.parameters, phase.budget)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, phase.budget.rate_factor)
        last = number + phase.budget.epochs
        if saved and number < done:
            restore_model(model, saved)
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            number = done
        while number < last:
            number += 1
            held_out = start_epoch(model, task, seeds.stream("base", number))
            if number == 1:
                observer.epoch(Epoch(0, held_out))
            batches = make_batches(task, seeds, number, held_out, phase.budget)
            draws = [seeds.integer(f"torch {i}", number) for i in range(len(batches))]
            drawn, share = list(zip(batches, draws, strict=True)), (number - 1) / budget.epochs
            try:
                with only_trainable(model, phase):
                    loss = _epoch(model, drawn, optimizer, recipe, share, observer)
                curves = _curves(model, task, loss, recipe.batch_size)
            except (DivergedError, NonFiniteError) as error:
                where = f" (phase {phase.name})" if len(phases) > 1 else ""
                raise DivergedError(f"epoch {number}{where}: {error}") from error
            schedule.step()
            observer.epoch(Epoch(number, held_out, phase.name, curves))
            observer.state(partial(training_state, number, model, optimizer, schedule))
    if not phases:
        observer.epoch(Epoch(0, torch.empty(0, dtype=torch.int64)))


def _epoch(
    model: Model,
    batches: Sequence[tuple[Callable[[], Split], int]],
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    share_of_epochs: float,
    observer: TrainingObserver,
) -> float:
    """Pass once over batches and return the mean loss over their samples of known class.

    Each batch has a seed of torch's generator, so that what one method draws more than another
    (a corner, say) does not change what both draw in the next step.
    """
    total, samples = 0.0, 0
    for make, seed in batches:
        torch.manual_seed(seed)
        batch = make()
        known = int((batch.y >= 0).sum())
        samples += known
        step = partial(take_step, model, optimizer, batch.x, batch.y, recipe, share_of_epochs)
        total += known * observer.step(step, len(batch))
    return total / max(samples, 1)


def _curves(model: Model, task: Task, loss: float, batch_size: int) -> dict[str, float]:
    curves = {"training_loss": loss}
    if bool((task.validation.y >= 0).any()):
        predicted = predict(model, task.validation.x, batch_size)
        curves["validation_accuracy"] = accuracy(*of_known_class(predicted, task.validation.y))
    return curves | numbers_of(model).track(task)
