"""One cell step by step: data, model, training, evaluation, attacks, timing."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from warnings import WarningMessage

import numpy as np

from lapbench.arrays import label_smoothness, snapshot
from lapbench.assess import assess_cell
from lapbench.attacks._ball import deviation
from lapbench.cells import Cell
from lapbench.checkpoint import Checkpoints
from lapbench.datasets._task import Task
from lapbench.evaluate import Metric, accuracy, evaluate, predict
from lapbench.gradient_error import gradient_error
from lapbench.inputs import build, load_data
from lapbench.memory import step_memory
from lapbench.methods._activations import count_relus
from lapbench.methods._protocol import Model
from lapbench.observed import Observed
from lapbench.pretrained import load_or_pretrain
from lapbench.records import Record, ResultsFolder
from lapbench.sources import sources_of
from lapbench.timing import StageTimes, StepClock, Timing, softmax_pass, time_stages
from lapbench.train import DivergedError, Epoch, train
from lapbench.watch import Watch


@dataclass(frozen=True, eq=False)
class Outcome:
    """A record, with the model's state and arrays where training succeeded."""

    record: Record
    state: dict[str, Any] | None = None
    arrays: dict[str, np.ndarray[Any, Any]] | None = None


def attempt(
    cell: Cell,
    record: Record,
    folder: ResultsFolder,
    checkpoints: Checkpoints,
    caught: Sequence[WarningMessage],
    watch: Watch,
) -> Outcome:
    """Run a cell and return what came of it, ``record`` filled in; ``caught`` grows meanwhile.

    Raises:
        DivergedError: if training, or a number of the trained model, is not finite.
        LapbenchError: if the data cannot give what the cell asks for.

    """
    task = load_data(cell)
    if isinstance(task, str):
        return Outcome(replace(record, status="skipped", reason=task))
    pretrained = None
    if cell.simclr:
        pretrained = load_or_pretrain(cell, cell.simclr, task, folder, watch.pretraining)
    model = build(cell, task, pretrained.state if pretrained else None)
    if isinstance(model, str):
        return Outcome(replace(record, status="skipped", reason=model))
    training = Observed(record.curves, caught, StepClock(cell, task))
    _train(cell, task, model, training, checkpoints, watch)
    if pretrained:
        record.curves["simclr_loss"] = [*pretrained.losses]
    model.finish(task, cell.seeds.stream("finish"))
    metrics = _measure(cell, task, model)
    stages = StageTimes({}, [], {})
    if cell.evaluation.stages:
        stages = time_stages(model, task, cell.device, softmax_pass(cell, task))
    numbers = stages.numbers | training.first_step
    metrics += [Metric(name, "train", v, len(task.train)) for name, v in numbers.items()]
    found = assess_cell(
        cell, model, task, _batch_size(cell, task), sources_of(cell, folder), watch.attack
    )
    metrics += found.metrics
    for metric in metrics:
        if not math.isfinite(metric.value):
            raise DivergedError(f"{metric.metric} of the trained model is {metric.value}")
    done = replace(
        record,
        status="ok",
        metrics=metrics,
        attacks=found.runs,
        flags=found.flags,
        timing=_timing(cell, task, training, stages, found.seconds),
    )
    return Outcome(done, model.state_dict(), training.arrays | found.arrays)


def _train(
    cell: Cell,
    task: Task,
    model: Model,
    training: Observed,
    checkpoints: Checkpoints,
    watch: Watch,
) -> None:
    """Train a model, from its checkpoint on if it has one."""
    saved = checkpoints.read()
    if saved:
        training.resume(saved["seen"])
    began = time.perf_counter() - training.seconds

    def observe(epoch: Epoch) -> None:
        if epoch.number in cell.evaluation.snapshot_epochs:
            training.arrays.update(snapshot(model, task, epoch))
        if epoch.number:
            training.clock.end_epoch(epoch.phase)
            training.append(epoch)
        training.seconds = time.perf_counter() - began
        watch.epoch(epoch)

    train(
        model,
        task,
        cell.budget,
        cell.seeds,
        _batch_size(cell, task),
        observe,
        cell.build_recipe(task),
        partial(training.step, model),
        saved,
        lambda state: checkpoints.save(lambda: state() | {"seen": training.state()}),
    )
    for power in cell.evaluation.smoothness_powers if count_relus(model) else ():
        values = label_smoothness(model, task.train, power, task.nodes_only)
        training.arrays[f"smoothness_{power}"] = values


def _measure(cell: Cell, task: Task, model: Model) -> list[Metric]:
    """Return the numbers of a trained model without attacks."""
    name, batch_size = cell.evaluation.split, _batch_size(cell, task)
    metrics = evaluate(model, getattr(task, name), name, batch_size)
    metrics += _outer_accuracy(model, task, batch_size) + _input_deviation(cell, task)
    error = gradient_error(cell, task) if cell.evaluation.gradient_error else None
    if error is not None:
        metrics.append(Metric("gradient_error", "train", error, len(task.train)))
    return metrics


def _batch_size(cell: Cell, task: Task) -> int:
    return len(task.train) if task.nodes_only else cell.evaluation.batch_size


def _timing(
    cell: Cell, task: Task, training: Observed, stages: StageTimes, attacks: dict[str, float]
) -> Timing:
    step_bytes, softmax_step_bytes = step_memory(cell, task)
    return Timing(
        training.seconds,
        training.clock.phases,
        training.clock.step_seconds,
        training.clock.softmax_step_seconds,
        epochs=dict(training.clock.epochs),
        stages=stages.seconds,
        softmax_pass_seconds=stages.reference,
        training_samples=len(task.train),
        attacks=attacks,
        step_bytes=step_bytes,
        softmax_step_bytes=softmax_step_bytes,
    )


def _outer_accuracy(model: Model, task: Task, batch_size: int) -> list[Metric]:
    """Return the accuracy on V_out, from which bilevel learning took its graph."""
    if task.outer is None or task.outer_labels is None:
        return []
    predicted = predict(model, task.train.x, batch_size)[task.outer]
    value = accuracy(predicted, task.outer_labels)
    return [Metric("outer_accuracy", "outer", value, len(task.outer))]


def _input_deviation(cell: Cell, task: Task) -> list[Metric]:
    """Return the unit of normalised ε, a mean over channels, if it may be used."""
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
