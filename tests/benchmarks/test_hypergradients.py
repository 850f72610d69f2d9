"""Time and memory of the implicit hypergradient on Cora, beside 500 unrolled steps of Adam.

The unrolled one is no oracle: it does not converge to the implicit one (suite `hypergradients`).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from benchmarks.measurements import Recorder
from benchmarks.solves import solves
from benchmarks.turns import TIMED, in_turn
from make_cells import load_task, small_cell
from pytest_benchmark.fixture import BenchmarkFixture

from lapbench.methods.base.saved_tensors import count_saved_bytes
from lapbench.suite.components import Component

pytestmark = TIMED
WHAT, REFERENCE = "hypergradient on Cora", "500 unrolled steps"
STEPS, ROUNDS = 500, 5


def hypergradient(kind: str, dataset: str = "cora") -> Callable[[], torch.Tensor]:
    """What finds it at the start of edge refinement, in float64 either way."""
    unrolled = {"inner_steps": STEPS} if kind == "unrolled" else {}
    cell = replace(
        small_cell("bilevel", graph="edges", hypergradient=kind, **unrolled),
        dataset=Component(dataset, {}),
        backbone=Component("identity", {}),
    )
    model = cell.build_model(cell.load_task())
    initial = {name: value.clone() for name, value in model.state_dict().items()}

    def find() -> torch.Tensor:
        model.load_state_dict(initial)
        return model.hypergradient(model.head)

    return find


def saved_megabytes(find: Callable[[], torch.Tensor]) -> float:
    """What a hypergradient saves for its backward pass."""
    with count_saved_bytes() as saved:
        find()
    return saved.peak / 1e6


def test_an_unrolled_hypergradient_saves_every_step():
    implicit, unrolled = (hypergradient(kind, "karate") for kind in ("implicit", "unrolled"))
    assert saved_megabytes(unrolled) > 40 * saved_megabytes(implicit) > 0


def test_implicit_beside_unrolled(benchmark: BenchmarkFixture, record: Recorder):
    nodes = len(load_task("cora").train)
    implicit, unrolled = hypergradient("implicit"), hypergradient("unrolled")
    turns = in_turn(benchmark, implicit, unrolled, ROUNDS)
    assert torch.isfinite(turns.result).all()
    record(
        WHAT,
        nodes,
        lapbench=turns.seconds,
        reference=REFERENCE,
        compared=turns.reference_seconds,
        target=20,
        **solves(implicit),
    )
    record(
        f"saved by the {WHAT}",
        nodes,
        lapbench=[saved_megabytes(implicit)],
        reference=REFERENCE,
        compared=[saved_megabytes(unrolled)],
        target=40,
        unit="MB",
    )
