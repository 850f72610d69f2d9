"""Cost of a step of every attack, in gradients of the same model taken in turn with it."""

import pytest
import torch
from benchmarks.measurements import Recorder
from benchmarks.turns import TIMED, in_turn
from make_attacks import CASES, PERTURBATIONS, attacked_cell
from make_cells import trained
from pytest_benchmark.fixture import BenchmarkFixture

from lapbench.attacks.base.attack import Attack
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split
from lapbench.discovery import names
from lapbench.suite.components import Component

pytestmark = TIMED
ROUNDS, BATCH, GRADIENTS = 5, 100, 5
ALL = CASES | PERTURBATIONS
FIRST = {name: case for case, (name, _) in reversed(ALL.items())}
"""A case of every attack."""


def attacked(case: str) -> tuple[Attack, Target, Split]:
    """An attack, a briefly trained model, and a batch with the classes that it predicts."""
    name, options = ALL[case]
    model, task, _ = trained(attacked_cell(case))
    target = Target(model, task, attacked_cell(case).seeds, sources=lambda _: model)
    x = task.test.x if task.nodes_only else task.test.x[:BATCH]
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    return Component(name, options).create("attacks"), target, Split(x, y)


def test_every_attack_has_a_line():
    assert set(FIRST) == set(names("attacks")), "tests/helpers/attack_table.py wants a case of each"


@pytest.mark.parametrize("name", sorted(FIRST))
def test_cost_of_an_attack_step(benchmark: BenchmarkFixture, record: Recorder, name: str):
    """A step is a prediction or a gradient; an attack that does other work is taken as a whole."""
    attack, target, batch = attacked(FIRST[name])
    moved = batch.x + 1e-3 * torch.randn_like(batch.x)  # no prediction is known from training

    def run() -> None:
        torch.manual_seed(0)
        for _ in attack.perturb(target, batch.x, batch.y):
            pass

    def differentiate() -> None:
        for _ in range(GRADIENTS):
            target.gradient(moved, batch.y)

    before = sum(target.spent())
    run()
    passes = sum(target.spent()) - before
    turns = in_turn(benchmark, run, differentiate, ROUNDS)
    whole = not passes or attack.knowledge == "proof"
    steps = 1 if whole else passes
    record(
        f"{name}, whole" if whole else f"step of {name}",
        len(batch),
        lapbench=[seconds / steps for seconds in turns.seconds],
        reference="gradient of its model",
        compared=[seconds / GRADIENTS for seconds in turns.reference_seconds],
        is_cost=True,
        iterations=passes or None,
    )
