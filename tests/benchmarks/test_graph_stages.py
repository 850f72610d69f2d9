"""Each stage of a step of the graph learning layer, in turn with scikit-learn and SciPy."""

import numpy as np
import pytest
import torch
from benchmarks.measurements import Recorder
from benchmarks.solves import solves
from benchmarks.stages import STAGES, given, start
from benchmarks.turns import TIMED, in_turn
from pytest_benchmark.fixture import BenchmarkFixture

from lapbench.methods.graph import PLaplace, Status, similarity_graph, solve_graph_equation

pytestmark = TIMED
ROUNDS = {1100: 15, 5000: 3, 20_000: 3}
WARM_UP = {1100: 1, 5000: 1, 20_000: 0}


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-8), (np.float32, 1e-4)])
def test_stage_and_reference_agree(name: str, dtype: type[np.floating], tolerance: float):
    """With 600 unlabelled nodes lapbench iterates, as it does above."""
    stage = STAGES[name](start(700, dtype))
    stage.agree(stage.ours(), stage.reference(), tolerance)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("nodes", ROUNDS)
def test_stage_beside_its_reference(
    benchmark: BenchmarkFixture, record: Recorder, nodes: int, name: str
):
    stage = STAGES[name](start(nodes))
    turns = in_turn(benchmark, stage.ours, stage.reference, ROUNDS[nodes], warm_up=WARM_UP[nodes])
    stage.agree(turns.result, turns.expected, 1e-4)
    record(
        name,
        nodes,
        lapbench=turns.seconds,
        reference=stage.beside,
        compared=turns.reference_seconds,
        **solves(stage.ours),
    )


@pytest.mark.parametrize(("nodes", "rounds"), [(1100, 3), (5000, 1)])
def test_newtons_method(benchmark: BenchmarkFixture, record: Recorder, nodes: int, rounds: int):
    begin = start(nodes)
    graph = similarity_graph(torch.from_numpy(begin.problem.features), begin.ours)
    arguments = [graph, *given(begin.problem), PLaplace(3.0)]
    result = benchmark.pedantic(solve_graph_equation, arguments, rounds=rounds)
    assert result.status is Status.CONVERGED, result.status
    record(
        "solve of the p-Laplacian, p = 3",
        nodes,
        lapbench=benchmark.stats.stats.data,
        iterations=result.iterations,
        residual=result.residual,
    )
