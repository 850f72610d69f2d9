"""The training gradient of a method beside finite differences."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.measure.probe import distinct_phases, probe_phase
from lapbench.methods.base.capabilities import Phase
from lapbench.methods.base.model import Model
from lapbench.suite.cells import Cell

_DIRECTIONS = 4
_RELATIVE_STEP = 1e-7


def gradient_error(cell: Cell, task: Task) -> float | None:
    """Relative error of the training gradient of an untrained model, by finite differences.

    L is the loss of the first batch of an epoch with its penalties, g its gradient in the p trained
    parameters θ. The error is the median of

        |d − g·v| / max(|d|, |g·v|, ‖g‖/√p),    d = (L(θ + hv) − L(θ − hv)) / 2h,

    over v = g/‖g‖ and four random v with ‖v‖ = 1, as a single v may cross a kink or change a graph.
    The largest error of all phases of training counts. In float64, h = 1e-7 ‖θ‖.

    An exact gradient has about 1e-7, or 2e-4 where rounding breaks a tie. A wrong sign has 0.1 to
    2, and so may a surrogate. Nothing trained enters, so the error is the same on every machine up
    to rounding.

    None where nothing is trained, or where it is not finite, which is a warning.
    """
    model = cell.build_model(_double(task)).double().to(cell.device)
    phases = [phase for phase, *_ in distinct_phases(model, cell.budget)]
    errors = [_phase_error(cell, _double(task), model, phase) for phase in phases]
    largest = max((error for error in errors if error is not None), default=None)
    if largest is not None and not math.isfinite(largest):
        warnings.warn(
            f"gradient_error: received {largest}; must be finite, and is left out",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return largest


def _double(task: Task) -> Task:
    train, validation, test = (
        Split(split.x.double(), split.y) for split in (task.train, task.validation, task.test)
    )
    return replace(task, train=train, validation=validation, test=test)


def _phase_error(cell: Cell, task: Task, model: Model, phase: Phase) -> float | None:
    parameters = [parameter for parameter in phase.parameters if parameter.numel()]
    if not parameters:
        return None
    with probe_phase(cell, task, model, phase) as probe:
        torch.manual_seed(cell.seeds.integer("gradient error"))
        batch = probe.make_batch()

        def loss() -> Tensor:
            torch.manual_seed(cell.seeds.integer("gradient error"))
            return probe.loss(batch)

        parts = torch.autograd.grad(loss(), parameters, materialize_grads=True)
        gradient = torch.cat([part.flatten() for part in parts])
        drawn = torch.Generator().manual_seed(cell.seeds.integer("directions"))
        shape = (_DIRECTIONS, len(gradient))
        random = torch.randn(shape, generator=drawn, dtype=torch.float64).to(gradient.device)
        directions = [d / d.norm() for d in (gradient, *random) if bool(d.any())]
        errors = [_error(loss, parameters, gradient, unit) for unit in directions]
        return median(errors) if all(map(math.isfinite, errors)) else math.inf


@torch.no_grad()
def _error(
    loss: Callable[[], Tensor], parameters: list[torch.nn.Parameter], gradient: Tensor, unit: Tensor
) -> float:
    """Relative error of a gradient in a direction."""
    start = torch.nn.utils.parameters_to_vector(parameters).clone()
    step = _RELATIVE_STEP * float(start.norm())
    values = []
    for sign in (1, -1):
        torch.nn.utils.vector_to_parameters(start + sign * step * unit, parameters)
        values.append(float(loss()))
    torch.nn.utils.vector_to_parameters(start, parameters)
    difference, slope = (values[0] - values[1]) / (2 * step), float(gradient @ unit)
    usual = float(gradient.norm()) / math.sqrt(len(gradient))
    scale = max(abs(difference), abs(slope), usual)
    return abs(difference - slope) / scale if scale else 0.0
