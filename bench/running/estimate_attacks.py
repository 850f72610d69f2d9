"""How long the attacks on a cell will take, from one prediction and one gradient."""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from lapbench.attacks.base.attack import Attack, BallAttack, Passes
from lapbench.attacks.base.model_changes import predict_changed
from lapbench.attacks.base.quantities import Gradient
from lapbench.attacks.base.target import Sources, Target
from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.model import Model
from lapbench.robustness.assess import attacked_split, radii_of, target_of
from lapbench.robustness.worst_case import ALONE
from lapbench.suite.cells import Cell, Robustness

Measure = Callable[[Callable[[], object]], float]
"""Returns the seconds that a call takes."""

Prediction = Callable[[Target, bool], float]
Slope = Callable[[Target, Gradient], float]

_UNATTACKED = 3
_JOINT = 2
_SMALL = 1e-3


def attack_seconds(
    cell: Cell,
    model: Model,
    task: Task,
    sources: Sources,
    measure: Measure,
) -> tuple[float, bool]:
    """Return the seconds of all attacks of a cell, and whether they are a limit.

    An attack has the passes that it says itself, in batches as large as the first, and its
    candidates are predicted again by the harness, in each ball that they were not made for.

    Args:
        cell: what is to run.
        model: as after training.
        task: of the cell, on its device.
        sources: gives the models of other cells.
        measure: returns the seconds of a call.

    """
    if cell.robustness is None:
        return 0.0, False
    about, name = cell.robustness, cell.evaluation.split
    target = target_of(cell, model, task, sources)
    split = attacked_split(getattr(task, name), about.samples, task.nodes_only)
    size = len(split) if task.nodes_only else cell.evaluation.batch_size
    batch = Split(split.x[:size], split.y[:size])
    prediction, gradient = _costs(batch, measure)
    attacks = [planned.create() for planned in about.attacks]
    attacks = [attack for attack in attacks if not attack.skip(target)]
    radii, known = len(radii_of(about)), int((batch.y >= 0).sum())
    one = prediction(target, False)
    seconds = _UNATTACKED * one + gradient(target, "own")
    if target.gradient_kind == "surrogate":
        seconds += gradient(target, "exact")
    for attack in attacks:
        said = attack.passes(task.num_classes)
        seconds += _own_passes(attack, said, target, prediction, gradient) + known * said.seconds
        if not attack.changes_model:
            seconds += said.candidates * (1 + _moved(attack, about, radii)) * one
    nearest = 0.0
    if radii and any(attack.knowledge != "chance" for attack in attacks):
        seconds += (_JOINT + (min(known, ALONE) if target.batch_dependent else 1)) * one
        if not task.nodes_only:
            # Neighbours: of the batch joined once more, among the features of the training samples.
            seconds += one
            nearest = len(task.train) / len(batch) * one
    is_limit = any(attack.passes(task.num_classes).seconds for attack in attacks)
    return len(split) / len(batch) * seconds + nearest, is_limit


def _costs(batch: Split, measure: Measure) -> tuple[Prediction, Slope]:
    """Return what returns the seconds of a prediction, and of a gradient, of a batch."""

    def moved() -> Tensor:
        # No prediction is then known from training, as that of clean nodes may be.
        return batch.x + _SMALL * torch.randn_like(batch.x)

    @cache
    def prediction(on: Target, changed: bool) -> float:
        predict = partial(predict_changed, on) if changed else on.log_probabilities
        with torch.no_grad():
            return measure(lambda: predict(moved()))

    @cache
    def gradient(on: Target, kind: Gradient) -> float:
        return measure(lambda: on.gradient(moved(), batch.y, kind))

    return prediction, gradient


def _own_passes(
    attack: Attack, said: Passes, target: Target, prediction: Prediction, gradient: Slope
) -> float:
    """Return the seconds of the predictions and gradients that an attack takes itself."""
    on = _attacked(attack, target)
    one = prediction(on, attack.changes_model)
    seconds = said.predictions * one
    if said.gradients or said.backward:
        whole = gradient(on, attack.gradient)
        seconds += said.gradients * whole + said.backward * max(whole - one, 0.0)
    return seconds


def _attacked(attack: Attack, target: Target) -> Target:
    """Return the model whose predictions and gradients an attack takes."""
    return next((target.source(name) for name in attack.needs()), target)


def _moved(attack: Attack, about: Robustness, radii: int) -> int:
    """Return in how many balls of the worst case a candidate is predicted anew."""
    within = isinstance(attack, BallAttack) and about.is_ball_of(attack)
    return 0 if within or attack.knowledge == "chance" else radii
