"""The training loop, the same for every method."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from lapbench.adversarial import PGD, perturb
from lapbench.batches import make_batches
from lapbench.datasets._task import Split, Task
from lapbench.evaluate import accuracy, of_known_class, predict
from lapbench.methods._budget import Budget
from lapbench.methods._protocol import Model, Phase, Term
from lapbench.methods.graph import NonFiniteError
from lapbench.seeds import Seeds
from lapbench.training_state import State, restore_model, training_state

Step = Callable[[], float]
"""Makes an optimiser step and returns the loss of its mini-batch."""

RunStep = Callable[[Step, int], float]


class DivergedError(Exception):
    """Training left the finite numbers; the message says where."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a step minimises beside the model's loss, on which inputs, and how precisely.

    Attributes:
        terms: their penalties are added to the loss.
        pgd: attack on every mini-batch before the step; None trains on the inputs themselves.
        bounds: of the inputs, for the attack.
        deviation: of the inputs, for an attack in normalised units.
        mixed_precision: whether the backbone computes in bfloat16 where it can.

    """

    terms: Sequence[Term] = ()
    pgd: PGD | None = None
    bounds: tuple[float, float] | None = None
    deviation: Tensor | None = None
    mixed_precision: bool = False


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch (0: before training).

    ``curves`` are the training loss, the validation accuracy where there is validation data, and
    the method's own numbers. ``held_out`` are the rows of the training split that the method kept
    out of the mini-batches.
    """

    number: int
    held_out: Tensor
    phase: str = ""
    curves: dict[str, float] = field(default_factory=dict)


def train(
    model: Model,
    task: Task,
    budget: Budget,
    seeds: Seeds,
    evaluation_batch_size: int,
    on_epoch: Callable[[Epoch], None],
    recipe: Recipe | None = None,
    run_step: RunStep = lambda step, _: step(),
    saved: State | None = None,
    save: Callable[[Callable[[], State]], None] = lambda _: None,
) -> None:
    """Train a model through its phases; its weights are those of the last epoch.

    Mini-batches hold training samples of known class; on a node task the one batch is all nodes.
    Validation, after every epoch, only observes.

    Args:
        model: on the device of the task.
        task: its training split is learned.
        budget: of all phases together.
        seeds: streams "order" and "base", and torch's own generator, set anew for each batch.
        evaluation_batch_size: samples per prediction in validation.
        on_epoch: called before the first epoch and after every one.
        recipe: terms and attack; by default none.
        run_step: calls a step on so many samples, to time it say.
        saved: what an interrupted training of the same model saved; it goes on after that epoch,
            as if it had not been interrupted.
        save: called after every epoch with what makes the state to be saved.

    Raises:
        DivergedError: if a loss, or a feature that a graph is built from, is NaN or infinite.
        ValueError: if the method cannot divide the budget into its phases.

    """
    phases = nonempty_phases(model, budget)
    number, done = 0, saved["epoch"] if saved else 0
    if saved:
        restore_model(model, saved)
    for phase in phases:
        if number + phase.budget.epochs <= done:
            number += phase.budget.epochs
            continue
        model.start_phase(phase)
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
            held_out = model.start_epoch(task, seeds.stream("base", number))
            if number == 1:
                on_epoch(Epoch(0, held_out))
            batches = make_batches(task, seeds, number, held_out, phase.budget)
            draws = [seeds.integer(f"torch {i}", number) for i in range(len(batches))]
            drawn, progress = list(zip(batches, draws, strict=True)), (number - 1) / budget.epochs
            try:
                with only_trainable(model, phase):
                    loss = _epoch(model, drawn, optimizer, recipe, progress, run_step)
                curves = _observe(model, task, loss, evaluation_batch_size)
            except (DivergedError, NonFiniteError) as error:
                where = f" (phase {phase.name})" if len(phases) > 1 else ""
                raise DivergedError(f"epoch {number}{where}: {error}") from error
            schedule.step()
            on_epoch(Epoch(number, held_out, phase.name, curves))
            save(partial(training_state, number, model, optimizer, schedule))
    if not phases:
        on_epoch(Epoch(0, torch.empty(0, dtype=torch.int64)))


def make_optimizer(parameters: Sequence[Tensor], budget: Budget) -> torch.optim.Optimizer:
    """Return the optimiser of a budget for parameters; there may be none."""
    trained = list(parameters) or [torch.nn.Parameter(torch.empty(0))]
    if budget.optimizer == "adam":
        return torch.optim.Adam(trained, lr=budget.learning_rate, weight_decay=budget.weight_decay)
    return torch.optim.SGD(
        trained,
        lr=budget.learning_rate,
        momentum=0.9,
        weight_decay=budget.weight_decay,
        nesterov=budget.optimizer == "nesterov",
    )


def take_step(
    model: Model,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    recipe: Recipe | None = None,
    progress: float = 0.0,
) -> float:
    """Make one optimiser step on a mini-batch and return its loss, penalties included."""
    recipe = recipe or Recipe()
    with _precision(model, recipe):
        if recipe.pgd:
            x = perturb(model, x, y, recipe.pgd, recipe.bounds, recipe.deviation)
        optimizer.zero_grad()
        loss = training_loss(model, x, y, recipe, progress)
    value = loss.item()
    if not math.isfinite(value):
        raise DivergedError(f"the loss is {value}; lower the learning rate")
    if any(parameter.numel() for parameter in optimizer.param_groups[0]["params"]):
        loss.backward()
    optimizer.step()
    for term in recipe.terms:
        term.after_step(model)
    return value


def training_loss(model: Model, x: Tensor, y: Tensor, recipe: Recipe, progress: float) -> Tensor:
    """Return what a step minimises on a mini-batch: the loss of the model, and all penalties."""
    loss = model.loss(x, y)
    for term in recipe.terms:
        loss = loss + term.penalty(model, x, y, progress)
    return loss


@contextmanager
def _precision(model: Model, recipe: Recipe) -> Iterator[None]:
    """Compute as the recipe says in a step; evaluation is in float32 always."""
    model.mixed_precision = recipe.mixed_precision
    try:
        yield
    finally:
        model.mixed_precision = False


def nonempty_phases(model: Model, budget: Budget) -> list[Phase]:
    """Return the phases that have epochs; those of all must be the epochs of the budget."""
    phases = model.phases(budget)
    total = sum(phase.budget.epochs for phase in phases)
    if phases and total != budget.epochs:
        raise ValueError(f"the phases have {total} epochs, the budget has {budget.epochs}")
    return [phase for phase in phases if phase.budget.epochs]


@contextmanager
def only_trainable(model: Model, phase: Phase) -> Iterator[None]:
    """Freeze what a phase does not train; modules that hold nothing else are in evaluation mode."""
    trained = {id(parameter) for parameter in phase.parameters}
    flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.train()
    try:
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.requires_grad and id(parameter) in trained)
        for module in model.modules():
            held = list(module.parameters())
            if held and not any(parameter.requires_grad for parameter in held):
                module.eval()
        yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)


def _epoch(
    model: Model,
    batches: Sequence[tuple[Callable[[], Split], int]],
    optimizer: torch.optim.Optimizer,
    recipe: Recipe | None,
    progress: float,
    run_step: RunStep,
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
        total += known * run_step(
            lambda batch=batch: take_step(model, optimizer, batch.x, batch.y, recipe, progress),  # type: ignore[misc]
            len(batch),
        )
    return total / max(samples, 1)


def _observe(model: Model, task: Task, loss: float, batch_size: int) -> dict[str, float]:
    curves = {"training_loss": loss}
    if bool((task.validation.y >= 0).any()):
        predicted = predict(model, task.validation.x, batch_size)
        curves["validation_accuracy"] = accuracy(*of_known_class(predicted, task.validation.y))
    return curves | model.track(task)
