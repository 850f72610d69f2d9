"""How long a cell takes is told from a record of its kind, or from a few steps of each phase."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from make_cells import BUDGET, small_cell
from make_finished_runs import finished
from torch import Tensor

from lapbench.measure.probe import distinct_phases
from lapbench.methods.base.capabilities import start_epoch, start_phase
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.results.folder import ResultsFolder
from lapbench.running.api import RunOptions, prepare
from lapbench.running.estimate import estimate, kind_of, recorded_times
from lapbench.suite.components import Method


class FakeClock:
    """Seconds that pass where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(Term):
    """Takes so many seconds of a clock in a step, by the model."""

    def __init__(self, clock: FakeClock, seconds: Callable[[Model], float]) -> None:
        self.clock, self.seconds = clock, seconds

    def penalty(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,  # noqa: ARG002
        share_of_epochs: float,  # noqa: ARG002
    ) -> Tensor:
        self.clock.now += self.seconds(model)
        return x.new_zeros(())


def test_phases_count_by_their_epochs_and_steps(monkeypatch: pytest.MonkeyPatch):
    clock, by_phase = FakeClock(), {"softmax": 2.0, "gll": 5.0}
    term = Slow(clock, lambda model: by_phase[model.classifier])
    monkeypatch.setattr(Method, "create_terms", lambda _: [term])
    cell = small_cell("gll", softmax_share=0.3)
    cell = replace(cell, budget=replace(BUDGET, epochs=10, batch_size=30))
    task = cell.load_task()
    model = cell.build_model(task)
    expected = 0.0
    for phases in distinct_phases(model, cell.budget):
        start_phase(model, phases[0])
        held_out = start_epoch(model, task, cell.seeds.stream("base", 1))
        steps = (len(task.train) - len(held_out)) / 30
        epochs = sum(phase.budget.epochs for phase in phases)
        expected += by_phase[phases[0].name] * epochs * steps
    assert estimate(cell, clock).seconds == pytest.approx(expected)


def test_what_has_a_record_of_its_kind_takes_as_long_again(tiny_suite: Path, tmp_path: Path):
    results = finished(tiny_suite, tmp_path / "r", seeds=1, methods="gll")
    prepared = prepare(tiny_suite, RunOptions(results=results))
    keys = [planned.key for planned in prepared.plan.cells]
    times = recorded_times(keys, prepared.folder)
    cells = [planned.cell for planned in prepared.plan.cells]
    by_kind = {cell.method.name: times.get(kind_of(cell)) for cell in cells}
    assert by_kind["softmax"] is None
    assert by_kind["gll"] is not None
    (key,) = ResultsFolder(results).list_keys()
    timing = prepared.folder.read_record(key).timing
    assert timing is not None
    assert (by_kind["gll"].seconds, by_kind["gll"].recorded) == (timing.training_seconds, True)
    prepared.folder.record_path(key).write_text("{")
    assert recorded_times(keys, prepared.folder) == {}


def test_repetitions_and_learning_rates_cost_the_same_and_epochs_do_not():
    cell = replace(small_cell("gll"), sources={"softmax": "0123456789abcdef"})
    budget = replace(cell.budget, learning_rate=0.5, schedule="cosine")
    again = replace(cell, repetition=3, sources={"softmax": "f" * 16}, budget=budget)
    assert kind_of(again) == kind_of(cell)
    for other in (
        replace(cell, budget=replace(cell.budget, epochs=5)),
        replace(cell, sources={}),
        small_cell("gll", k=7),
    ):
        assert kind_of(other) != kind_of(cell)


def test_estimate_leaves_no_trace(tmp_path: Path, tiny_suite: Path):
    text = tiny_suite.read_text().replace('["softmax", "gll"]', '["wnll + sparse_manifold"]')
    tiny_suite.write_text(text)
    prepared = prepare(tiny_suite, RunOptions(results=tmp_path / "r"))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    result = estimate(prepared.missing[0].cell)
    assert not result.unknown
    assert result.seconds > 0
    assert torch.get_rng_state().equal(state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not (tmp_path / "r").exists()
