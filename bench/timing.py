"""Time of a training step, beside that of softmax in the same process, and of its stages."""

import time
from dataclasses import field, replace
from statistics import median

import torch
from pydantic.dataclasses import dataclass

from lapbench.cells import STRICT, Cell, Component, Method
from lapbench.datasets._task import Task
from lapbench.methods._protocol import Model
from lapbench.train import Recipe, Step, make_optimizer, take_step

_WARM_UP = 3
_WARMED_BELOW = 5_000
_REPEATED_UP_TO = 15_000
_REPEATS = 3


@dataclass(frozen=True, config=STRICT)
class Timing:
    """Seconds of training in all (validation included), of steps, of stages, and of attacks.

    Phases and steps are those of ``StepClock``, none where nothing was trained; stages those of
    ``time_stages`` over ``training_samples``. The bytes of a step are those of ``step_memory``,
    None where they were not measured.
    """

    training_seconds: float
    phases: list[str]
    step_seconds: list[float]
    softmax_step_seconds: list[float]
    stages: dict[str, list[float]] = field(default_factory=dict)
    training_samples: int = 0
    attacks: dict[str, float] = field(default_factory=dict)
    step_bytes: int | None = None
    softmax_step_bytes: int | None = None


class StepClock:
    """Times every training step, and a step of softmax at the end of each epoch.

    Steps are timed where they happen, as their cost may change while a model learns. Softmax has
    the cell's backbone, a batch as large as the epoch's largest, and a learning rate that leaves it
    as it is; its step comes right after the epoch's, so that a busy machine slows both.

    Attributes:
        phases: name of each epoch's phase.
        step_seconds: median of the steps of each epoch with the largest batch.
        softmax_step_seconds: one step of softmax after each epoch.

    """

    def __init__(self, cell: Cell, task: Task) -> None:
        self._device = cell.device
        softmax = replace(cell, method=Method(Component("softmax", {})))
        self._softmax = softmax.build_model(task).to(cell.device).train()
        mixed = cell.precision == "mixed" and not task.nodes_only
        self._recipe = Recipe(mixed_precision=mixed)
        still = replace(cell.budget, learning_rate=1e-30, weight_decay=0.0)
        self._optimizer = make_optimizer(list(self._softmax.parameters()), still)
        known = torch.ones_like(task.train.y, dtype=torch.bool)
        if not task.nodes_only:
            known = task.train.y >= 0
        self._x, self._y = task.train.x[known], task.train.y[known]
        self._epoch: list[tuple[int, float]] = []
        self.phases: list[str] = []
        self.step_seconds: list[float] = []
        self.softmax_step_seconds: list[float] = []
        for _ in range(_WARM_UP):
            self._softmax_step(len(self._y) if task.nodes_only else cell.budget.batch_size)

    def step(self, step: Step, samples: int) -> float:
        """Make a training step, timed, and return its loss."""
        start = self._now()
        loss = step()
        self._epoch.append((samples, self._now() - start))
        return loss

    def end_epoch(self, phase: str) -> None:
        """Time a step of softmax, after one that warms the caches, and close the epoch."""
        largest = max(samples for samples, _ in self._epoch)
        self._softmax_step(largest)
        start = self._now()
        self._softmax_step(largest)
        self.softmax_step_seconds.append(self._now() - start)
        self.step_seconds.append(median(s for samples, s in self._epoch if samples == largest))
        self.phases.append(phase)
        self._epoch.clear()

    def _softmax_step(self, samples: int) -> None:
        x, y = self._x[:samples], self._y[:samples]
        take_step(self._softmax, self._optimizer, x, y, self._recipe)

    def _now(self) -> float:
        if self._device != "cpu":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def time_stages(model: Model, task: Task, device: str) -> dict[str, list[float]]:
    """Return the seconds of each stage of a pass over the training samples, one a repeat.

    Three repeats, after one that warms the caches below 5,000 samples; one alone above 15,000. On
    a CPU it is processor time, of all threads together, so that a busy machine matters less; on a
    GPU it is wall-clock time.
    """
    samples = len(task.train)
    repeats = _REPEATS if samples <= _REPEATED_UP_TO else 1
    warm_ups = 1 if samples < _WARMED_BELOW else 0
    seconds: dict[str, list[float]] = {}
    for _ in range(warm_ups + repeats):
        for name, stage in model.stages(task).items():
            start = _stage_clock(device)
            stage()
            seconds.setdefault(name, []).append(_stage_clock(device) - start)
    return {name: values[warm_ups:] for name, values in seconds.items()}


def _stage_clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
