"""One cell step by step: data, model, training, evaluation, attacks, timing."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from warnings import WarningMessage

import numpy as np

from lapbench.attacks.base.ball import deviation
from lapbench.datasets.base.task import Task
from lapbench.measure.gradient_error import gradient_error
from lapbench.measure.memory import saved_bytes
from lapbench.measure.snapshots import label_smoothness, snapshot
from lapbench.measure.timing import StageTimes, StepClock, Timing, softmax_pass, time_stages
from lapbench.measure.training_log import TrainingLog
from lapbench.methods.base.activations import count_relus
from lapbench.methods.base.capabilities import finish
from lapbench.methods.base.model import Model
from lapbench.results.checkpoint import Checkpoints
from lapbench.results.folder import ResultsFolder
from lapbench.results.pretrained import load_or_pretrain
from lapbench.results.records import Record
from lapbench.robustness.assess import Assessment, assess_cell
from lapbench.running.prepare_cell import build_model, load_task
from lapbench.running.transfer_models import sources_of
from lapbench.suite.cells import Cell
from lapbench.training.events import Epoch, Events, TrainingObserver
from lapbench.training.loop import train
from lapbench.training.metrics import Metric, accuracy, evaluate, predict
from lapbench.training.steps import DivergedError


@dataclass(frozen=True, eq=False)
class Outcome:
    """A record, with the model's state and arrays where training succeeded."""

    record: Record
    state: dict[str, Any] | None = None
    arrays: dict[str, np.ndarray[Any, Any]] | None = None


def run_steps(
    cell: Cell,
    record: Record,
    folder: ResultsFolder,
    checkpoints: Checkpoints,
    caught: Sequence[WarningMessage],
    events: Events,
) -> Outcome:
    """Run a cell and return what came of it, ``record`` filled in; ``caught`` grows meanwhile.

    Raises:
        NotApplicableError: if the method does not apply to the data, or a term to the model.
        DivergedError: if training, or a number of the trained model, is not finite.
        LapbenchError: if the data cannot give what the cell asks for.

    """
    task = load_task(cell)
    pretrained = None
    if cell.simclr:
        pretrained = load_or_pretrain(cell, cell.simclr, task, folder, events.pretraining)
    model = build_model(cell, task, pretrained.state if pretrained else None)
    log = TrainingLog(record.curves, caught, StepClock(cell, task))
    _train(cell, task, model, log, checkpoints, events)
    if pretrained:
        record.curves["simclr_loss"] = [*pretrained.losses]
    finish(model, task, cell.seeds.stream("finish"))
    metrics = _measure(cell, task, model)
    stages = StageTimes({}, [], {})
    if cell.evaluation.stages:
        stages = time_stages(model, task, cell.device, softmax_pass(cell, task))
    numbers = stages.numbers | log.first_step
    metrics += [Metric(name, "train", v, len(task.train)) for name, v in numbers.items()]
    assessment = Assessment([])
    if cell.robustness:
        sources = sources_of(cell, folder)
        assessment = assess_cell(cell, cell.robustness, model, task, sources, events.attack)
    metrics += assessment.metrics
    for metric in metrics:
        if not math.isfinite(metric.value):
            raise DivergedError(f"{metric.metric} of the trained model is {metric.value}")
    done = replace(
        record,
        status="ok",
        metrics=metrics,
        attacks=assessment.runs,
        flags=assessment.checks,
        timing=_timing(cell, task, log, stages, assessment.seconds),
    )
    return Outcome(done, model.state_dict(), log.arrays | assessment.arrays)


def _train(
    cell: Cell, task: Task, model: Model, log: TrainingLog, checkpoints: Checkpoints, events: Events
) -> None:
    """Train a model, from its checkpoint on if it has one."""
    saved = checkpoints.read()
    if saved:
        log.resume(saved["seen"])
    began = time.perf_counter() - log.seconds

    def end_epoch(epoch: Epoch) -> None:
        if epoch.number in cell.evaluation.snapshot_epochs:
            log.arrays.update(snapshot(model, task, epoch))
        if epoch.number:
            log.clock.end_epoch(epoch.phase)
            log.append(epoch)
        log.seconds = time.perf_counter() - began
        events.epoch(epoch)

    observer = TrainingObserver(
        partial(log.step, model),
        end_epoch,
        lambda state: checkpoints.save(lambda: state() | {"seen": log.state()}),
    )
    train(model, task, cell.budget, cell.seeds, cell.build_recipe(task), observer, saved)
    powers = cell.evaluation.smoothness_powers
    for power in powers if powers and count_relus(model) else ():
        values = label_smoothness(model, task.train, power, task.nodes_only)
        log.arrays[f"smoothness_{power}"] = values


def _measure(cell: Cell, task: Task, model: Model) -> list[Metric]:
    """The numbers of a trained model without attacks."""
    name, batch_size = cell.evaluation.split, cell.batch_size(task)
    metrics = evaluate(model, getattr(task, name), name, batch_size)
    metrics += _outer_accuracy(model, task, batch_size) + _input_deviation(cell, task)
    error = gradient_error(cell, task) if cell.evaluation.gradient_error else None
    if error is not None:
        metrics.append(Metric("gradient_error", "train", error, len(task.train)))
    return metrics


def _timing(
    cell: Cell, task: Task, log: TrainingLog, stages: StageTimes, attacks: dict[str, float]
) -> Timing:
    own_bytes, softmax_bytes = saved_bytes(cell, task)
    return Timing(
        log.seconds,
        log.clock.phases,
        log.clock.step_seconds,
        log.clock.softmax_step_seconds,
        epochs=dict(log.clock.epochs),
        stages=stages.seconds,
        softmax_pass_seconds=stages.reference,
        training_samples=len(task.train),
        attacks=attacks,
        saved_bytes=own_bytes,
        softmax_saved_bytes=softmax_bytes,
    )


def _outer_accuracy(model: Model, task: Task, batch_size: int) -> list[Metric]:
    """The accuracy on V_out, from which bilevel learning took its graph."""
    if task.outer is None or task.outer_labels is None:
        return []
    predicted = predict(model, task.train.x, batch_size)[task.outer]
    value = accuracy(predicted, task.outer_labels)
    return [Metric("outer_accuracy", "outer", value, len(task.outer))]


def _input_deviation(cell: Cell, task: Task) -> list[Metric]:
    """The unit of normalised ε, a mean over channels, if it may be used."""
    about = cell.robustness
    units: list[object] = [cell.pgd.units] if cell.pgd else []
    units += [about.units] if about else []
    units += [
        planned.attack.parameters.get("units") for planned in (about.attacks if about else [])
    ]
    if "normalised" not in units:
        return []
    value = float(deviation(task.train.x).mean())
    return [Metric("input_deviation", "train", value, len(task.train))]
