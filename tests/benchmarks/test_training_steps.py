"""Cost of a training step of every method, in steps of softmax taken in turn with them."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from benchmarks.measurements import Recorder
from pytest_benchmark.fixture import BenchmarkFixture
from table import METHODS, method, small_cell

from lapbench.cells import Component
from lapbench.methods._budget import Budget
from lapbench.train import Recipe, make_optimizer, take_step

pytestmark = pytest.mark.benchmark(timer=time.process_time)
ROUNDS = 15
TARGETS = {("sparse_manifold", "intrinsic alone"): 3.3, ("sparse_manifold", "both"): 4.5}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("sparse_manifold", "intrinsic alone", {"gamma_hamming": 0.0}),
    ("sparse_manifold", "both", {}),
    *((name, "", {}) for name in METHODS if name != "sparse_manifold"),
]


def training_step(name: str, **options: Any) -> Callable[[], float]:
    """A step on a batch of 200 digits with the small CNN, in the last phase, and its CPU time."""
    cell = replace(
        small_cell("softmax"),
        dataset=Component("digits", {}),
        backbone=Component("small_cnn", {}),
        method=method(name, **options),
        budget=Budget(epochs=4),
    )
    task = cell.load_task()
    model = cell.build_model(task)
    phase = [phase for phase in model.phases(cell.budget) if phase.budget.epochs][-1]
    model.start_phase(phase)
    held_out = model.start_epoch(task, cell.seeds.stream("base", 1))
    optimizer = make_optimizer(phase.parameters, phase.budget)
    rows = torch.arange(len(task.train))
    rows = rows[~torch.isin(rows, held_out)][:200]
    recipe = Recipe(cell.method.create_terms())
    model.train()

    def step() -> float:
        start = time.process_time()
        take_step(model, optimizer, task.train.x[rows], task.train.y[rows], recipe, 0.5)
        return time.process_time() - start

    return step


@pytest.mark.parametrize(("name", "variant", "options"), CASES)
def test_cost_of_a_step(
    benchmark: BenchmarkFixture,
    record: Recorder,
    name: str,
    variant: str,
    options: dict[str, Any],
):
    step, softmax = training_step(name, **options), training_step("softmax")
    ratios = [step() / softmax() for _ in range(ROUNDS)][3:]
    benchmark.pedantic(step, rounds=3)
    record(
        " ".join(["step of", name, variant]).strip(),
        200,
        lapbench=statistics.median(ratios),
        target=TARGETS.get((name, variant)),
        unit="softmax steps",
    )
