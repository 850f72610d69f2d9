"""Time of a training step, in turn with that of softmax in the same process, and of its stages."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.capabilities import numbers_of
from lapbench.methods.base.model import Model
from lapbench.suite.cells import Cell
from lapbench.training.events import Step
from lapbench.training.steps import Recipe, make_optimizer, take_step

T = TypeVar("T")

_WARM_UP = 3
_PAIRS = 3
_WARMED_BELOW = 5_000
_REPEATED_UP_TO = 15_000
_REPEATS = 3
_FINE = 1e-5  # seconds; the processor time of Windows comes in parts of 16 ms


@validated
class Timing:
    """Times of a record in seconds, and the bytes that a step saves.

    Attributes:
        training_seconds: all of training, with validation.
        phases, step_seconds, softmax_step_seconds, epochs: of :class:`StepClock`.
        stages: of :func:`time_stages`, over ``training_samples``.
        softmax_pass_seconds: a pass of softmax over the same samples.
        attacks: by attack.
        saved_bytes, softmax_saved_bytes: of :func:`lapbench.measure.memory.saved_bytes`.

    """

    training_seconds: float
    phases: list[str]
    step_seconds: list[float]
    softmax_step_seconds: list[float]
    epochs: dict[str, int] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)
    softmax_pass_seconds: list[float] = field(default_factory=list)
    training_samples: int = 0
    attacks: dict[str, float] = field(default_factory=dict)
    saved_bytes: int | None = None
    softmax_saved_bytes: int | None = None


class StepClock:
    """Times training steps where they happen, each in turn with a step of softmax.

    The first step of an epoch warms up, and up to three later ones are timed, as the cost may
    change while a model learns. Where epochs have one step, the first such epoch warms up. All
    timed steps have as many samples as the first of their epoch. Right after each comes a step of
    softmax on as many samples, with the same backbone and a learning rate that does not change it;
    a busy machine slows both.

    With one thread on a CPU, processor time is measured, so that other processes do not count;
    otherwise wall-clock time. Garbage collection waits, and a GPU has finished.

    Attributes:
        phases: name of the phase of each pair.
        step_seconds: seconds of each timed step.
        softmax_step_seconds: seconds of the step of softmax after it.
        epochs: number of epochs of each phase.
        cold: whether the last pair was the first step of its epoch.

    """

    def __init__(self, cell: Cell, task: Task) -> None:
        self._device, self._threads = cell.device, cell.threads
        self._softmax = cell.with_softmax().build_model(task).to(cell.device).train()
        self._recipe = Recipe(mixed_precision=cell.trains_mixed(task))
        still = replace(cell.budget, learning_rate=1e-30, weight_decay=0.0)
        self._optimizer = make_optimizer(list(self._softmax.parameters()), still)
        known = torch.ones_like(task.train.y, dtype=torch.bool)
        if not task.nodes_only:
            known = task.train.y >= 0
        self._x, self._y = task.train.x[known], task.train.y[known]
        self._size, self.cold = 0, False
        self._epoch: list[tuple[float, float]] = []
        self.epochs: Counter[str] = Counter()
        self.phases: list[str] = []
        self.step_seconds: list[float] = []
        self.softmax_step_seconds: list[float] = []
        for _ in range(_WARM_UP):
            self._softmax_step(len(self._y) if task.nodes_only else cell.budget.batch_size)

    def step(self, step: Step, samples: int) -> float:
        """Make a training step, timed, and return its loss."""
        if not self._epoch:
            self._size = samples
        if samples != self._size or len(self._epoch) > _PAIRS:
            return step()
        loss = 0.0

        def train() -> None:
            nonlocal loss
            loss = step()

        own = self._seconds(train)
        self._epoch.append((own, self._seconds(lambda: self._softmax_step(samples))))
        return loss

    def end_epoch(self, phase: str) -> None:
        """Close an epoch, and drop its first pair if there are others, here or in the next."""
        warm = self._epoch[1:] or self._epoch
        if self.epochs[phase] == 1 and self.phases[-1] == phase and self.cold:
            del self.phases[-1], self.step_seconds[-1], self.softmax_step_seconds[-1]
        self.phases += [phase] * len(warm)
        self.step_seconds += [own for own, _ in warm]
        self.softmax_step_seconds += [softmax for _, softmax in warm]
        self.cold = len(self._epoch) == 1
        self.epochs[phase] += 1
        self._epoch = []

    def _softmax_step(self, samples: int) -> None:
        x, y = self._x[:samples], self._y[:samples]
        with torch.random.fork_rng():
            take_step(self._softmax, self._optimizer, x, y, self._recipe)

    def _seconds(self, call: Callable[[], object]) -> float:
        clock = step_clock(self._device, self._threads)
        with _no_collection():
            start = clock()
            call()
            return clock() - start


def step_clock(device: str, threads: int) -> Callable[[], float]:
    """Clock of a step in seconds; see :class:`StepClock`."""
    if device != "cpu":
        return lambda: _wall_clock(device)
    fine = time.get_clock_info("process_time").resolution < _FINE
    return time.process_time if threads == 1 and fine else time.perf_counter


@dataclass(frozen=True, eq=False)
class StageTimes:
    """Seconds of each stage and of the reference, by repeat, and numbers that stages returned."""

    seconds: dict[str, list[float]]
    reference: list[float]
    numbers: dict[str, float]


def time_stages(
    model: Model, task: Task, device: str, reference: Callable[[], object]
) -> StageTimes:
    """Time each stage of a pass over the training samples, and before each pass a reference.

    There are three repeats, and one above 15,000 samples; below 5,000 samples one more warms up.
    On a CPU it is the processor time of all threads, on a GPU wall-clock time.
    """
    samples = len(task.train)
    repeats = _REPEATS if samples <= _REPEATED_UP_TO else 1
    warm_ups = 1 if samples < _WARMED_BELOW else 0
    seconds: dict[str, list[float]] = {}
    references: list[float] = []
    numbers: dict[str, float] = {}
    for _ in range(warm_ups + repeats):
        stages = numbers_of(model).stages(task)
        if not stages:
            break
        with _no_collection():
            references.append(_stage_seconds(reference, device)[0])
            for name, stage in stages.items():
                spent, returned = _stage_seconds(stage, device)
                seconds.setdefault(name, []).append(spent)
                numbers |= returned or {}
    kept = {name: values[warm_ups:] for name, values in seconds.items()}
    return StageTimes(kept, references[warm_ups:], numbers)


def _stage_seconds(stage: Callable[[], T], device: str) -> tuple[float, T]:
    clock = step_clock(device, threads=1)
    start = clock()
    returned = stage()
    return clock() - start, returned


def softmax_pass(cell: Cell, task: Task) -> Callable[[], None]:
    """Forward and backward pass of softmax over the training samples, for comparison."""
    model = cell.with_softmax().build_model(task).to(cell.device).train()
    return lambda: model.loss(task.train.x, task.train.y).backward()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep garbage collection out of what is timed."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _wall_clock(device: str) -> float:
    torch.cuda.synchronize(device)
    return time.perf_counter()
