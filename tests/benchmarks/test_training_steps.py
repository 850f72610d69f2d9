"""Cost of a training step of every method, in steps of softmax taken in turn with them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from benchmarks.measurements import Recorder
from benchmarks.solves import solves
from benchmarks.turns import TIMED, in_turn
from make_cells import METHODS, method, small_cell
from pytest_benchmark.fixture import BenchmarkFixture

from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import phases_of, start_epoch, start_phase
from lapbench.suite.components import Component
from lapbench.training.steps import Recipe, make_optimizer, take_step

pytestmark = TIMED
ROUNDS, WARM_UP, BATCH = 12, 3, 200
TARGETS = {("sparse_manifold", "intrinsic alone"): 3.3, ("sparse_manifold", "both"): 4.5}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("sparse_manifold", "intrinsic alone", {"gamma_hamming": 0.0}),
    ("sparse_manifold", "both", {}),
    *((name, "", {}) for name in METHODS if name != "sparse_manifold"),
]


def training_step(name: str, **options: Any) -> Callable[[], float]:
    """A step on a batch of 200 digits with the small CNN, in the last phase."""
    cell = replace(
        small_cell("softmax"),
        dataset=Component("digits", {}),
        backbone=Component("small_cnn", {}),
        method=method(name, **options),
        budget=Budget(epochs=4),
    )
    task = cell.load_task()
    model = cell.build_model(task)
    phase = [phase for phase in phases_of(model, cell.budget) if phase.budget.epochs][-1]
    start_phase(model, phase)
    held_out = start_epoch(model, task, cell.seeds.stream("base", 1))
    optimizer = make_optimizer(phase.parameters, phase.budget)
    rows = torch.arange(len(task.train))
    rows = rows[~torch.isin(rows, held_out)][:BATCH]
    recipe = Recipe(cell.method.create_terms())
    x, y = task.train.x[rows], task.train.y[rows]
    model.train()
    return lambda: take_step(model, optimizer, x, y, recipe, 0.5)


@pytest.mark.parametrize(
    ("name", "variant", "options"),
    CASES,
    ids=[f"{name} {variant}".strip() for name, variant, _ in CASES],
)
def test_cost_of_a_step(
    benchmark: BenchmarkFixture, record: Recorder, name: str, variant: str, options: dict[str, Any]
):
    step, softmax = training_step(name, **options), training_step("softmax")
    turns = in_turn(benchmark, step, softmax, ROUNDS, warm_up=WARM_UP)
    record(
        " ".join(["training step of", name, variant]).strip(),
        BATCH,
        lapbench=turns.seconds,
        reference="step of softmax",
        compared=turns.reference_seconds,
        is_cost=True,
        target=TARGETS.get((name, variant)),
        **solves(step),
    )
