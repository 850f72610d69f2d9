"""Estimates how long a cell takes, from a record of its kind or a few training steps."""

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from lapbench.errors import NotApplicableError
from lapbench.measure.probe import distinct_phases, probe_phase
from lapbench.results.folder import RecordError, ResultsFolder
from lapbench.running.cell import reproducible
from lapbench.running.prepare_cell import build_model, load_task
from lapbench.suite.cells import Cell

LEFT_OUT = "data, validation, evaluation, attacks and pretraining"
"""What an estimate from training steps leaves out."""

_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """The estimated duration of a cell.

    Attributes:
        seconds: 0 where they are unknown.
        recorded: whether it is the total of a finished cell of its kind; else training alone.
        unknown: why there is no estimate; empty where there is one.

    """

    seconds: float = 0.0
    recorded: bool = False
    unknown: str = ""


def kind_of(cell: Cell) -> str:
    """The same text for cells that cost the same: repetitions, and other learning rates."""
    budget = replace(cell.budget, learning_rate=1.0, schedule="constant", weight_decay=0.0)
    return repr(replace(cell, repetition=0, sources=dict.fromkeys(cell.sources, ""), budget=budget))


def recorded_times(keys: Iterable[str], folder: ResultsFolder) -> dict[str, Estimate]:
    """Durations of the cells with readable records, by kind."""
    times = {}
    for key in keys:
        try:
            record = folder.read_record(key)
        except (RecordError, OSError):
            continue
        if record.timing:
            seconds = record.timing.training_seconds + sum(record.timing.attacks.values())
            times[kind_of(record.cell)] = Estimate(seconds, recorded=True)
    return times


def estimate(cell: Cell, clock: Callable[[], float] = time.perf_counter) -> Estimate:
    """How long the training of a cell takes, from three steps of each phase after a warm-up step.

    Nothing is written, and the state of torch is restored. A cell that raises or does not apply
    gets the reason instead.
    """
    try:
        with reproducible(cell), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The cell itself will give them.
            return Estimate(_training_seconds(cell, clock))
    except NotApplicableError as error:
        return Estimate(unknown=str(error))
    except Exception as error:
        return Estimate(unknown=f"{type(error).__name__}: {error}")


def _training_seconds(cell: Cell, clock: Callable[[], float]) -> float:
    task = load_task(cell)
    model, seconds = build_model(cell, task), 0.0
    for same in distinct_phases(model, cell.budget):
        with probe_phase(cell, task, model, same[0]) as probe:
            probe.step(probe.make_batch())
            start = clock()
            for _ in range(_STEPS):
                probe.step(probe.make_batch())
            step = (clock() - start) / _STEPS
        seconds += sum(phase.budget.epochs for phase in same) * probe.steps * step
    return seconds
