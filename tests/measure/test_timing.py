"""Steps are timed in pairs: those after the first of an epoch, each with one of softmax."""

import gc
from dataclasses import replace
from itertools import count

import pytest
from make_cells import small_cell

from lapbench.measure import timing
from lapbench.measure.timing import StepClock, Timing, step_clock, time_stages
from lapbench.methods.base.budget import Budget
from lapbench.results.provenance import provenance
from lapbench.results.records import Record
from lapbench.results.tidy import tidy
from lapbench.suite.plan import SCHEMA, Plan, PlannedCell

CELL = replace(small_cell("softmax"), budget=Budget(epochs=4, batch_size=20))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StepClock:
    """A clock whose every look takes a second, so that every step does."""
    ticks = count()
    monkeypatch.setattr(timing, "step_clock", lambda *_: lambda: float(next(ticks)))
    return StepClock(CELL, CELL.load_task())


def epoch(clock: StepClock, samples: list[int], phase: str = "training") -> None:
    for size in samples:
        assert clock.step(lambda: 0.5, size) == 0.5
    clock.end_epoch(phase)


@pytest.mark.parametrize(
    ("epochs", "pairs"),
    [
        ([[20]], 1),
        ([[20], [20], [20]], 2),
        ([[20, 20]], 1),
        ([[20, 20, 20, 20, 20, 20]], 3),
        ([[20, 20, 7]], 1),
        ([[20, 7]], 1),
        ([[20] * 6, [20] * 6], 6),
    ],
)
def test_pairs_are_those_after_the_first_and_at_most_three_an_epoch(
    clock: StepClock, epochs: list[list[int]], pairs: int
):
    for sizes in epochs:
        epoch(clock, sizes)
    assert clock.phases == ["training"] * pairs
    assert clock.step_seconds == clock.softmax_step_seconds == [1.0] * pairs
    assert clock.epochs == {"training": len(epochs)}


def test_first_single_step_of_each_phase_warms_up(clock: StepClock):
    for phase in ("linear", "linear", "wnll", "wnll", "wnll"):
        epoch(clock, [20], phase)
    assert clock.phases == ["linear", "wnll", "wnll"]


def test_softmax_stays_as_it_was(clock: StepClock):
    before = [parameter.clone() for parameter in clock._softmax.parameters()]
    epoch(clock, [20] * 5)
    assert all(a.equal(b) for a, b in zip(before, clock._softmax.parameters(), strict=True))


def test_garbage_collection_waits_and_comes_back(clock: StepClock):
    seen = []
    clock.step(lambda: float(seen.append(gc.isenabled()) or 0), 20)
    assert seen == [False]
    assert gc.isenabled()


def test_wall_clock_with_several_threads_processor_time_with_one():
    assert step_clock("cpu", 1) is timing.time.process_time
    assert step_clock("cpu", 2) is timing.time.perf_counter


@pytest.mark.parametrize(
    ("timed", "expected"),
    [
        # By hand: linear 2 (of 1, 2, 9) in 9 epochs, wnll 8 in 1.
        (
            Timing(
                *(1.0, ["linear", "linear", "linear", "wnll"], [1.0, 4.0, 9.0, 8.0]),
                [1.0, 2.0, 1.0, 1.0],
                epochs={"linear": 9, "wnll": 1},
            ),
            {"step_ratio": (9 * 2 + 8) / 10, "step_seconds": (9 * 4 + 8) / 10},
        ),
        # Earlier records have one pair of times an epoch.
        (Timing(1.0, ["a", "a", "b"], [2.0, 2.0, 8.0], [1.0, 1.0, 1.0]), {"step_ratio": 4}),
        (
            Timing(
                *(1.0, ["a"], [1.0], [1.0]),
                stages={"solve": [1.0, 4.0, 9.0]},
                softmax_pass_seconds=[1.0, 2.0, 1.0],
            ),
            {"stage_ratio: solve": 2, "stage: solve": 4},
        ),
        (
            Timing(1.0, ["a"], [1.0], [1.0], saved_bytes=3_000_000, softmax_saved_bytes=1_500_000),
            {"saved_megabytes": 3, "saved_ratio": 2},
        ),
    ],
)
def test_numbers_of_a_record_by_hand(timed: Timing, expected: dict[str, float]):
    planned = PlannedCell("0123456789abcdef", "exact", CELL)
    record = Record(SCHEMA, planned.key, CELL, "exact", "skipped", provenance("cpu"), timing=timed)
    object.__setattr__(record, "status", "ok")
    frame = tidy(Plan(SCHEMA, "s", "t", [planned]), {planned.key: record})
    numbers = dict(zip(frame["metric"], frame["value"], strict=True))
    assert {name: numbers[name] for name in expected} == pytest.approx(expected)


def test_stages_say_how_many_iterations_a_solve_took():
    cell = small_cell("gll")
    task = cell.load_task()
    model = cell.build_model(task)
    result = time_stages(model, task, "cpu", int)
    assert set(result.numbers) == {"solve_iterations"}
    assert len(result.reference) == len(result.seconds["solve"]) == 3
