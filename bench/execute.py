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

from lapbench.assess import assess_cell
from lapbench.attacks._ball import deviation
from lapbench.attacks._target import Sources
from lapbench.cells import Cell
from lapbench.datasets._task import Split, Task
from lapbench.errors import LapbenchError
from lapbench.evaluate import Metric, accuracy, evaluate, predict
from lapbench.memory import keep_freed_memory, step_memory
from lapbench.methods._activations import count_relus
from lapbench.methods._protocol import Model
from lapbench.methods._smoothness import Power, smoothness_by_depth
from lapbench.methods.graph import NonFiniteError
from lapbench.provenance import provenance
from lapbench.records import SCHEMA, PlannedCell, Record, ResultsFolder
from lapbench.sources import sources_of
from lapbench.timing import StepClock, Timing, time_stages
from lapbench.train import DivergedError, Epoch, train

_SMOOTHNESS_BATCH = 100


@dataclass(frozen=True, eq=False)
class Outcome:
    """A record, with the model's state and arrays where training succeeded."""

    record: Record
    state: dict[str, Any] | None = None
    arrays: dict[str, np.ndarray[Any, Any]] | None = None


@dataclass(frozen=True)
class Watch:
    """What is told of a cell while it runs: each epoch, and each attack by its label."""

    epoch: Callable[[Epoch], None] = lambda _: None
    attack: Callable[[str], None] = lambda _: None


NOBODY = Watch()


def run_cell(planned: PlannedCell, folder: ResultsFolder, watch: Watch = NOBODY) -> Record:
    """Run a cell and store what came of it.

    The record comes last: where it stands, weights and arrays do too.
    """
    outcome = execute(planned, watch, sources_of(planned.cell, folder))
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


def execute(
    planned: PlannedCell,
    watch: Watch = NOBODY,
    sources: Sources = lambda name: f"there is no model {name!r} here",
) -> Outcome:
    """Run a cell and return what came of it; an exception becomes a failed record.

    Only KeyboardInterrupt and SystemExit pass. ``sources`` gives the models of other cells.
    """
    record = replace(failed_record(planned, ""), reason=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = _attempt(planned.cell, record, watch, sources)
        except (DivergedError, NonFiniteError) as error:
            outcome = Outcome(replace(record, status="diverged", reason=str(error)))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            lines = traceback.format_exc()
            outcome = Outcome(replace(record, status="failed", reason=reason, traceback=lines))
    distinct = list(dict.fromkeys(str(warning.message) for warning in caught))
    return replace(outcome, record=replace(outcome.record, warnings=distinct))


def _attempt(cell: Cell, record: Record, watch: Watch, sources: Sources) -> Outcome:
    with reproducible(cell):
        task = cell.load_task()
        if reason := cell.method.create_head().skip(task):
            return Outcome(replace(record, status="skipped", reason=reason))
        name = cell.evaluation.split
        if not bool((getattr(task, name).y >= 0).any()):
            raise LapbenchError(
                f"evaluation.split: received {name!r}, but {task.name} has no {name} samples; "
                "evaluate on another split, or give the data set such samples"
            )
        task = task.to(cell.device)
        model = cell.build_model(task).to(cell.device)
        for term in cell.method.create_terms():
            if reason := model.refuses_terms or term.skip(model):
                return Outcome(replace(record, status="skipped", reason=reason))
        clock = StepClock(cell, task)
        arrays: dict[str, np.ndarray[Any, Any]] = {}

        def observe(epoch: Epoch) -> None:
            if epoch.number in cell.evaluation.snapshot_epochs:
                arrays.update(_snapshot(model, task, epoch))
            if epoch.number:
                clock.end_epoch(epoch.phase)
                _append(record.curves, epoch)
            watch.epoch(epoch)

        start = time.perf_counter()
        batch_size = len(task.train) if task.nodes_only else cell.evaluation.batch_size
        recipe = cell.build_recipe(task)
        train(model, task, cell.budget, cell.seeds, batch_size, observe, recipe, clock.step)
        seconds = time.perf_counter() - start
        model.finish(task, cell.seeds.stream("finish"))
        metrics = evaluate(model, getattr(task, name), name, batch_size)
        metrics += _outer_accuracy(model, task, batch_size) + _input_deviation(cell, task)
        if count_relus(model):
            for power in cell.evaluation.smoothness_powers:
                arrays[f"smoothness_{power}"] = _smoothness(
                    model, task.train, power, task.nodes_only
                )
        stages = time_stages(model, task, cell.device) if cell.evaluation.stages else {}
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


def _outer_accuracy(model: Model, task: Task, batch_size: int) -> list[Metric]:
    """Return the accuracy on V_out, from which bilevel learning took its graph."""
    if task.outer is None or task.outer_labels is None:
        return []
    predicted = predict(model, task.train.x, batch_size)[task.outer]
    value = accuracy(predicted, task.outer_labels)
    return [Metric("outer_accuracy", "outer", value, len(task.outer))]


def _input_deviation(cell: Cell, task: Task) -> list[Metric]:
    """Return the unit of normalised ε, a mean over channels, where an ε has it."""
    units = [cell.pgd.units] if cell.pgd else []
    if cell.robustness:
        units += [cell.robustness.units]
        units += [planned.attack.parameters.get("units") for planned in cell.robustness.attacks]
    if "normalised" not in units:
        return []
    value = float(deviation(task.train.x).mean())
    return [Metric("input_deviation", "train", value, len(task.train))]


def _append(curves: dict[str, list[float | None]], epoch: Epoch) -> None:
    """Add an epoch's numbers; a curve that has none for an epoch has None there."""
    for name in dict.fromkeys([*curves, *epoch.curves]):
        curve = curves.setdefault(name, [None] * (epoch.number - 1))
        curve.append(epoch.curves.get(name))


@torch.no_grad()
def _smoothness(model: Model, train: Split, power: Power, nodes_only: bool) -> np.ndarray[Any, Any]:
    """Return label smoothness (batches, layers) on full batches of known samples, or on all."""
    model.eval()
    if nodes_only:
        return smoothness_by_depth(model, train.x, train.y, power)[None].cpu().numpy()
    known = train.y >= 0
    x, y = train.x[known], train.y[known]
    full = len(y) // _SMOOTHNESS_BATCH * _SMOOTHNESS_BATCH or len(y)
    batches = zip(x[:full].split(_SMOOTHNESS_BATCH), y[:full].split(_SMOOTHNESS_BATCH), strict=True)
    rows = [smoothness_by_depth(model, *batch, power) for batch in batches]
    return torch.stack(rows).cpu().numpy()


@torch.no_grad()
def _snapshot(model: Model, task: Task, epoch: Epoch) -> dict[str, np.ndarray[Any, Any]]:
    model.eval()
    features = model.features(task.train.x).cpu().numpy()
    own = {
        f"{name}_{epoch.number:06d}": array.detach().cpu().numpy()
        for name, array in model.arrays().items()
    }
    return own | {
        f"features_{epoch.number:06d}": features,
        "labels": task.train.y.cpu().numpy(),
        "held_out": epoch.held_out.cpu().numpy(),
    }


@contextmanager
def reproducible(cell: Cell) -> Iterator[None]:
    """Set threads and deterministic algorithms for a cell; restore them and torch's generator."""
    keep_freed_memory()
    if cell.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(cell.threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
