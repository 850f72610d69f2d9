"""How long a cell will take, from a few of its steps."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import torch

from lapbench.datasets.base.task import Split, Task
from lapbench.errors import NotApplicableError
from lapbench.measure.gradient_error import gradient_error
from lapbench.measure.probe import distinct_phases, probe_phase
from lapbench.measure.timing import softmax_pass, time_stages
from lapbench.methods.base.capabilities import Phase, finish, numbers_of, start_epoch
from lapbench.methods.base.model import Model
from lapbench.running.cell import reproducible
from lapbench.running.estimate_attacks import Measure, attack_seconds
from lapbench.running.prepare_cell import build_model, load_task
from lapbench.suite.cells import Cell
from lapbench.training.batches import make_batches
from lapbench.training.metrics import predict
from lapbench.training.simclr import pretrain

Clock = Callable[[], float]

_PATIENCE = 10.0
_ENOUGH = 2.0
_REPEATS = 3
_MEMORY_STEPS = 2
_SOFTMAX_STEPS = 4


@dataclass(frozen=True)
class Estimate:
    """About how many seconds a cell takes.

    Attributes:
        training: until the model is trained and evaluated, but for pretraining.
        attacks: on the trained model.
        is_limit: whether some attack may take all the time that it is allowed, but need not.
        unknown: why there is no estimate; empty where there is one.
        pretraining: of the backbone, which the cells of ``pretrained_by`` share.

    """

    training: float = 0.0
    attacks: float = 0.0
    is_limit: bool = False
    unknown: str = ""
    pretraining: float = 0.0

    @property
    def seconds(self) -> float:
        """All of it; 0 where it is unknown."""
        return self.pretraining + self.training + self.attacks


def kind_of(cell: Cell) -> str:
    """Return the same text for cells that cost the same: repetitions, and other learning rates."""
    budget = replace(cell.budget, learning_rate=1.0, schedule="constant", weight_decay=0.0)
    return repr(replace(cell, repetition=0, sources=dict.fromkeys(cell.sources, ""), budget=budget))


def pretrained_by(cell: Cell) -> str:
    """Return the same text for cells that share one pretrained backbone."""
    data = cell.dataset, cell.repetition, cell.scale
    machine = cell.device, cell.threads, cell.precision
    return repr((cell.simclr, cell.backbone, data, machine))


def total_seconds(estimates: Sequence[Estimate], jobs: int) -> float:
    """Return the seconds of cells of which so many run at a time: no fewer than the longest."""
    seconds = [estimate.seconds for estimate in estimates]
    return max(sum(seconds) / jobs, max(seconds, default=0.0))


def estimate(cell: Cell, cells: Mapping[str, Cell], clock: Clock = time.perf_counter) -> Estimate:
    """Return how long a cell will take, from a few steps of each phase, predictions and gradients.

    Each is called three times after a warm-up, less often once 2 s have passed, and once alone
    after 10 s in all. The model learns next to nothing meanwhile: where a graph is solved, the
    features of a trained one may need more or fewer iterations. Attacks have the number of passes
    that they say themselves, and where they may stop early the most.

    Nothing is written, and torch is left as it was. What raises, or does not apply, has no
    estimate but the reason.

    Args:
        cell: that is to run.
        cells: by key, those whose models its attacks may use.
        clock: returns seconds.

    """

    def now() -> float:
        if cell.device != "cpu":
            torch.cuda.synchronize(cell.device)
        return clock()

    try:
        with reproducible(cell), warnings.catch_warnings():
            # The cell itself will give them.
            warnings.simplefilter("ignore")
            return _estimate(cell, cells, now)
    except NotApplicableError as error:
        return Estimate(unknown=str(error))
    except Exception as error:
        return Estimate(unknown=f"{type(error).__name__}: {error}")


def _estimate(cell: Cell, cells: Mapping[str, Cell], now: Clock) -> Estimate:
    start = now()
    task = load_task(cell)
    model = build_model(cell, task)
    seconds = now() - start
    measure = measuring(now)
    pretraining = _pretraining(cell, task, measure)
    seconds += _training(cell, task, model, measure) + _finish(cell, task, model, now, measure)

    def source(name: str) -> Model:
        if name not in cell.sources:
            raise NotApplicableError("other cells take their transfer attacks from it")
        return _untrained(cells.get(cell.sources[name], cell), task)

    attacks, is_limit = attack_seconds(cell, model, task, source, measure)
    return Estimate(seconds, attacks, is_limit, pretraining=pretraining)


def measuring(now: Clock) -> Measure:
    """Return what measures calls one after the other, with less and less patience."""
    start = now()

    def measure(call: Callable[[], object]) -> float:
        was_patient = now() - start <= _PATIENCE
        seconds: list[float] = []
        while len(seconds) <= _REPEATS:
            before = now()
            call()
            seconds.append(now() - before)
            if len(seconds) == 1:
                # A first call may compile something: it counts where a second is too much to ask.
                done = not was_patient or seconds[0] > _PATIENCE
            else:
                done = sum(seconds[1:]) > _ENOUGH or now() - start > _PATIENCE
            if done:
                break
        return median(seconds[1:] or seconds)

    return measure


def _pretraining(cell: Cell, task: Task, measure: Measure) -> float:
    """Return the seconds of pretraining, from its step on the first images."""
    if cell.simclr is None:
        return 0.0
    size = min(cell.simclr.batch_size, len(task.train))
    images = Split(task.train.x[:size], task.train.y[:size])
    part, once = replace(task, train=images), replace(cell.simclr, epochs=1)
    backbone, mixed = cell.build_model(task).backbone.to(cell.device), cell.precision == "mixed"
    step = measure(lambda: pretrain(backbone, part, once, cell.seeds, mixed))
    return cell.simclr.epochs * len(task.train) / size * step


def _training(cell: Cell, task: Task, model: Model, measure: Measure) -> float:
    """Return the seconds of all phases, one after the other with the same model."""
    softmax = _softmax_step(cell, task, measure)
    seconds = _MEMORY_STEPS * softmax
    for same in distinct_phases(model, cell.budget):
        step, epoch = _phase(cell, task, model, same[0], softmax, measure)
        epochs = sum(phase.budget.epochs for phase in same)
        seconds += epochs * epoch + _MEMORY_STEPS * step
    return seconds


def _phase(
    cell: Cell, task: Task, model: Model, phase: Phase, softmax: float, measure: Measure
) -> tuple[float, float]:
    """Return the seconds of a step of a phase, and of an epoch with steps of softmax."""
    with probe_phase(cell, task, model, phase) as probe:
        step = measure(lambda: probe.step(probe.make_batch()))

    def begin() -> None:
        held_out = start_epoch(model, task, cell.seeds.stream("base", 1))
        make_batches(task, cell.seeds, 1, held_out, phase.budget)

    epoch = measure(begin) + probe.steps * step + measure(lambda: numbers_of(model).track(task))
    epoch += min(_SOFTMAX_STEPS, probe.steps) * softmax
    if bool((task.validation.y >= 0).any()):
        epoch += _prediction(cell, task, model, task.validation, measure)
    return step, epoch


def _softmax_step(cell: Cell, task: Task, measure: Measure) -> float:
    """Return the seconds of a step of softmax, which comes after some steps for comparison."""
    softmax = replace(cell.with_softmax(), pgd=None)
    model = softmax.build_model(task).to(cell.device)
    for phase, *_ in distinct_phases(model, cell.budget):
        with probe_phase(softmax, task, model, phase) as probe:
            return measure(partial(probe.step, probe.make_batch()))
    return 0.0


def _finish(cell: Cell, task: Task, model: Model, now: Clock, measure: Measure) -> float:
    """Return the seconds from the last epoch to the attacks, and let the model be as then."""
    split: Split = getattr(task, cell.evaluation.split)
    start = now()
    finish(model, task, cell.seeds.stream("finish"))
    model.eval()
    numbers_of(model).measure(split, cell.batch_size(task))
    if cell.evaluation.stages:
        time_stages(model, task, cell.device, softmax_pass(cell, task))
    if cell.evaluation.gradient_error:
        gradient_error(cell, task)
    return now() - start + _prediction(cell, task, model, split, measure)


def _prediction(cell: Cell, task: Task, model: Model, split: Split, measure: Measure) -> float:
    """Return the seconds of a prediction of all samples, from that of one batch."""
    batch = split.x[: cell.batch_size(task)]
    return len(split) / len(batch) * measure(lambda: predict(model, batch, len(batch)))


def _untrained(cell: Cell, task: Task) -> Model:
    """Return the model of another cell as if it were trained, without a step."""
    model = cell.build_model(task).to(cell.device)
    for phase, *_ in distinct_phases(model, cell.budget):
        with probe_phase(cell, task, model, phase):
            pass
    finish(model, task, cell.seeds.stream("finish"))
    return model
