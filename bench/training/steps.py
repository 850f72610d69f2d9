"""A step of training: optimiser, loss with penalties, adversarial inputs, precision."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import Phase
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.training.adversarial import AdversarialTraining, perturb


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
        batch_size: samples per prediction in validation.

    """

    terms: Sequence[Term] = ()
    pgd: AdversarialTraining | None = None
    bounds: tuple[float, float] | None = None
    deviation: Tensor | None = None
    mixed_precision: bool = False
    batch_size: int = 500


def make_optimizer(parameters: Sequence[Tensor], budget: Budget) -> torch.optim.Optimizer:
    """The optimiser of a budget for parameters; there may be none."""
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
    share_of_epochs: float = 0.0,
) -> float:
    """Make one optimiser step on a mini-batch and return its loss, penalties included."""
    recipe = recipe or Recipe()
    with _precision(model, recipe):
        if recipe.pgd:
            x = perturb(model, x, y, recipe.pgd, recipe.bounds, recipe.deviation)
        optimizer.zero_grad()
        loss = training_loss(model, x, y, recipe, share_of_epochs)
    value = loss.item()
    if not math.isfinite(value):
        raise DivergedError(f"the loss is {value}; lower the learning rate")
    if any(parameter.numel() for parameter in optimizer.param_groups[0]["params"]):
        loss.backward()
    optimizer.step()
    for term in recipe.terms:
        term.after_step(model)
    return value


def training_loss(
    model: Model, x: Tensor, y: Tensor, recipe: Recipe, share_of_epochs: float
) -> Tensor:
    """What a step minimises on a mini-batch: the loss of the model, and all penalties."""
    loss = model.loss(x, y)
    for term in recipe.terms:
        loss = loss + term.penalty(model, x, y, share_of_epochs)
    return loss


@contextmanager
def _precision(model: Model, recipe: Recipe) -> Iterator[None]:
    """Compute as the recipe says in a step; evaluation is in float32 always."""
    model.mixed_precision = recipe.mixed_precision
    try:
        yield
    finally:
        model.mixed_precision = False


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
