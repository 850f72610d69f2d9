"""Speed and memory of a step of the graph learning layer, beside scikit-learn and SciPy.

A target that is missed shows in the table and fails nothing; a wrong answer fails.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from benchmarks.measurements import Recorder
from benchmarks.peak_memory import MEASURABLE
from benchmarks.steps import (
    TIES,
    Problem,
    Step,
    assert_same_rows,
    class_problem,
    in_double,
    lapbench_step,
    scipy_step,
    share_between_classes,
)
from benchmarks.turns import TIMED, in_turn
from benchmarks.with_scipy import conjugate_gradients
from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = TIMED
STEP = "step, forward and backward"


@pytest.fixture(scope="module")
def _warm() -> None:
    """Load what both load on their first call."""
    lapbench_step(class_problem(300))
    scipy_step(class_problem(300))


def different_edges(result: Step, expected: Step) -> float:
    """Edges of one graph alone, as a share."""
    edges = [
        set(zip(*np.sort(step.edges, axis=0).tolist(), strict=True)) for step in (result, expected)
    ]
    return len(edges[0] ^ edges[1]) / len(edges[1])


def assert_same_answer(result: Step, expected: Step, tolerance: float = 1e-4) -> None:
    """Graph, u and gradient agree at every node."""
    assert not different_edges(result, expected)
    assert_same_rows("values", result.values, expected.values, tolerance)
    assert_same_rows("gradients", result.gradient, expected.gradient, tolerance)


def assert_same_work(problem: Problem, result: Step, expected: Step) -> None:
    """The answer in float32 has the same graph but for ties, and that in float64 is the same.

    One tie changes u and gradient at a thousand nodes.
    """
    assert different_edges(result, expected) <= TIES
    assert_same_answer(lapbench_step(in_double(problem)), expected)


def about(step: Step) -> dict[str, Any]:
    """What the time of a step depends on."""
    return {
        "between_classes": share_between_classes(step.edges),
        "iterations": step.iterations,
        "residual": step.residual,
    }


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-8), (np.float32, 1e-4)])
def test_comparator_and_lapbench_agree(dtype: type[np.floating], tolerance: float):
    problem = class_problem(300, dtype)
    expected = scipy_step(problem)
    assert_same_answer(lapbench_step(problem), expected, tolerance)
    assert_same_answer(scipy_step(problem, conjugate_gradients), expected, tolerance)


@pytest.mark.usefixtures("_warm")
@pytest.mark.parametrize(
    ("nodes", "rounds", "comparator_rounds", "target"),
    [(1100, 31, 31, 3.5), (5000, 3, 1, 20), (10000, 3, 1, 45)],
)
def test_step_beside_scipy(
    benchmark: BenchmarkFixture,
    record: Recorder,
    nodes: int,
    rounds: int,
    comparator_rounds: int,
    target: float,
):
    problem = class_problem(nodes)
    ours, reference = partial(lapbench_step, problem), partial(scipy_step, problem)
    turns = in_turn(benchmark, ours, reference, rounds, comparator_rounds)
    assert_same_work(problem, turns.result, turns.expected)
    record(
        STEP,
        nodes,
        lapbench=turns.seconds,
        reference="scikit-learn, SciPy",
        compared=turns.reference_seconds,
        target=target,
        **about(turns.result),
    )


@pytest.mark.usefixtures("_warm")
def test_step_at_20_000_nodes(benchmark: BenchmarkFixture, record: Recorder):
    problem = class_problem(20_000)
    result = benchmark.pedantic(lapbench_step, [problem], rounds=3, warmup_rounds=1)
    assert_same_work(problem, result, scipy_step(problem, conjugate_gradients))
    record(STEP, 20_000, lapbench=benchmark.stats.stats.data, target=3.5, **about(result))


@pytest.mark.usefixtures("_warm")
@pytest.mark.skipif(psutil.virtual_memory().available < 8e9, reason="less than 8 GB of memory free")
def test_step_at_70_000_nodes(benchmark: BenchmarkFixture, record: Recorder):
    result = benchmark.pedantic(lapbench_step, [class_problem(70_000)])
    assert np.isfinite(result.gradient).all()
    record(STEP, 70_000, lapbench=benchmark.stats.stats.data, target=45, **about(result))
    if MEASURABLE:
        command = [sys.executable, "-m", "benchmarks.peak_memory", "70000"]
        environment, tests = os.environ | {"OMP_NUM_THREADS": "1"}, Path(__file__).parent.parent
        output = subprocess.run(
            command, env=environment, cwd=tests, check=True, capture_output=True, text=True
        )
        peaks, share = json.loads(output.stdout), share_between_classes(result.edges)
        for what, limit in [("step", 1500), ("weight gradient", 300)]:
            record(
                f"memory of the {what}",
                70_000,
                lapbench=[peaks[what] / 1e6],
                between_classes=share,
                target=limit,
                unit="MB",
            )
