"""Running one cell: train, evaluate, time, and say what happened, whatever happened."""

import math
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lapbench.arrays import label_smoothness, snapshot
from lapbench.assess import assess_cell
from lapbench.attacks._ball import deviation
from lapbench.cells import Cell
from lapbench.datasets._task import Task
from lapbench.errors import LapbenchError
from lapbench.evaluate import Metric, accuracy, evaluate, predict
from lapbench.memory import keep_freed_memory, step_memory
from lapbench.methods._activations import count_relus
from lapbench.methods._protocol import Model
from lapbench.methods.graph import NonFiniteError
from lapbench.pretrained import load_or_pretrain
from lapbench.provenance import provenance
from lapbench.records import SCHEMA, PlannedCell, Record, ResultsFolder
from lapbench.sources import sources_of
from lapbench.timing import StepClock, Timing, time_stages
from lapbench.train import DivergedError, Epoch, train


@dataclass(frozen=True, eq=False)
class Outcome:
    """A record, with the model's state and arrays where training succeeded."""

    record: Record
    state: dict[str, Any] | None = None
    arrays: dict[str, np.ndarray[Any, Any]] | None = None


@dataclass(frozen=True)
class Watch:
    """What is told of a cell while it runs.

    Each epoch, each attack by its label, and each epoch of pretraining with its loss.
    """

    epoch: Callable[[Epoch], None] = lambda _: None
    attack: Callable[[str], None] = lambda _: None
    pretraining: Callable[[int, float], None] = lambda *_: None


NOBODY = Watch()


def run_cell(planned: PlannedCell, folder: ResultsFolder, watch: Watch = NOBODY) -> Record:
    """Run a cell and store what came of it.

    The record comes last: where it stands, weights and arrays do too.
    """
    outcome = execute(planned, folder, watch)
    if outcome.state is not None:
        folder.write_weights(planned.key, outcome.state)
    if outcome.arrays:
        folder.write_arrays(planned.key, outcome.arrays)
    folder.write_record(outcome.record)
    return outcome.record


def failed_record(planned: PlannedCell, reason: str) -> Record:
    """Return the record of a cell that failed, without results."""
    return Record(
        schema=SCHEMA,
        key=planned.key,
        cell=planned.cell,
        gradient=planned.gradient,
        status="failed",
        reason=reason,
        curves={"training_loss": []},
        provenance=provenance(planned.cell.device),
    )


def execute(planned: PlannedCell, folder: ResultsFolder, watch: Watch = NOBODY) -> Outcome:
    """Run a cell and return what came of it; an exception becomes a failed record.

    Only KeyboardInterrupt and SystemExit pass. The folder lends models of other cells and
    pretrained backbones, and keeps the latter.
    """
    record = replace(failed_record(planned, ""), reason=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = _attempt(planned.cell, record, folder, watch)
        except (DivergedError, NonFiniteError) as error:
            outcome = Outcome(replace(record, status="diverged", reason=str(error)))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            lines = traceback.format_exc()
            outcome = Outcome(replace(record, status="failed", reason=reason, traceback=lines))
    distinct = list(dict.fromkeys(str(warning.message) for warning in caught))
    return replace(outcome, record=replace(outcome.record, warnings=distinct))


def _attempt(cell: Cell, record: Record, folder: ResultsFolder, watch: Watch) -> Outcome:
    with reproducible(cell):
        task, name = load_data(cell), cell.evaluation.split
        if isinstance(task, str):
            return Outcome(replace(record, status="skipped", reason=task))
        pretrained = None
        if cell.simclr:
            pretrained = load_or_pretrain(cell, cell.simclr, task, folder, watch.pretraining)
        model = build(cell, task, pretrained.state if pretrained else None)
        if isinstance(model, str):
            return Outcome(replace(record, status="skipped", reason=model))
        clock = StepClock(cell, task)
        arrays: dict[str, np.ndarray[Any, Any]] = {}

        def observe(epoch: Epoch) -> None:
            if epoch.number in cell.evaluation.snapshot_epochs:
                arrays.update(snapshot(model, task, epoch))
            if epoch.number:
                clock.end_epoch(epoch.phase)
                _append(record.curves, epoch)
            watch.epoch(epoch)

        began = time.perf_counter()
        batch_size = len(task.train) if task.nodes_only else cell.evaluation.batch_size
        recipe = cell.build_recipe(task)
        train(model, task, cell.budget, cell.seeds, batch_size, observe, recipe, clock.step)
        seconds = time.perf_counter() - began
        if pretrained:
            record.curves["simclr_loss"] = [*pretrained.losses]
        model.finish(task, cell.seeds.stream("finish"))
        metrics = evaluate(model, getattr(task, name), name, batch_size)
        metrics += _outer_accuracy(model, task, batch_size) + _input_deviation(cell, task)
        if count_relus(model):
            for power in cell.evaluation.smoothness_powers:
                arrays[f"smoothness_{power}"] = label_smoothness(
                    model, task.train, power, task.nodes_only
                )
        stages = time_stages(model, task, cell.device) if cell.evaluation.stages else {}
        sources = sources_of(cell, folder)
        found = assess_cell(cell, model, task, batch_size, sources, watch.attack)
        metrics += found.metrics
        for metric in metrics:
            if not math.isfinite(metric.value):
                raise DivergedError(f"{metric.metric} of the trained model is {metric.value}")
        step_bytes, softmax_step_bytes = step_memory(cell, task)
        timing = Timing(
            seconds,
            clock.phases,
            clock.step_seconds,
            clock.softmax_step_seconds,
            stages=stages,
            training_samples=len(task.train),
            attacks=found.seconds,
            step_bytes=step_bytes,
            softmax_step_bytes=softmax_step_bytes,
        )
        done = replace(
            record,
            status="ok",
            metrics=metrics,
            attacks=found.runs,
            flags=found.flags,
            timing=timing,
        )
        return Outcome(done, model.state_dict(), arrays | found.arrays)


def load_data(cell: Cell) -> Task | str:
    """Return the task of a cell, on its device, or why the head does not apply to it.

    Raises:
        LapbenchError: if the data cannot give what the cell asks for.

    """
    task = cell.load_task()
    if reason := cell.method.create_head().skip(task):
        return reason
    _check(cell, task)
    return task.to(cell.device)


def build(cell: Cell, task: Task, pretrained: dict[str, Tensor] | None = None) -> Model | str:
    """Return the untrained model of a cell, on its device, or why a term does not apply to it."""
    model = cell.build_model(task, pretrained).to(cell.device)
    reasons = (model.refuses_terms or term.skip(model) for term in cell.method.create_terms())
    return next((reason for reason in reasons if reason), model)


def _check(cell: Cell, task: Task) -> None:
    """Refuse what the data cannot give."""
    name, kind = cell.evaluation.split, cell.budget.augmentation
    if not bool((getattr(task, name).y >= 0).any()):
        raise LapbenchError(
            f"evaluation.split: received {name!r}, but {task.name} has no {name} samples; "
            "evaluate on another split, or give the data set such samples"
        )
    images = len(task.input_shape) == 3 and task.bounds == (0.0, 1.0)
    if kind != "none" and not images:
        raise LapbenchError(
            f"budget.augmentation: received {kind!r} for inputs of shape {task.input_shape} in "
            f"{task.bounds}; accepted are images (channels, height, width) in (0.0, 1.0); use "
            '"none" for other data'
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


def _append(curves: dict[str, list[float | None]], epoch: Epoch) -> None:
    """Add an epoch's numbers; a curve that has none for an epoch has None there."""
    for name in dict.fromkeys([*curves, *epoch.curves]):
        curve = curves.setdefault(name, [None] * (epoch.number - 1))
        curve.append(epoch.curves.get(name))


@contextmanager
def reproducible(cell: Cell) -> Iterator[None]:
    """Set threads and deterministic algorithms for a cell; restore them and torch's generator."""
    keep_freed_memory()
    if cell.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    rounding = torch.backends.cudnn.allow_tf32
    torch.set_num_threads(cell.threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False  # else convolutions on a GPU round to 10 bits
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = rounding
        torch.use_deterministic_algorithms(deterministic)
