"""Time and memory of the implicit hypergradient on Cora, beside 500 unrolled steps of Adam.

The unrolled one is no oracle: it does not converge to the implicit one (suite `hypergradients`).
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from benchmarks.hypergradients import cora_hypergradient
from benchmarks.measurements import Recorder
from benchmarks.peak_memory import MEASURABLE
from pytest_benchmark.fixture import BenchmarkFixture
from table import load_task
from threadpoolctl import threadpool_limits

pytestmark = pytest.mark.benchmark(timer=time.process_time)
WHAT = "hypergradient on Cora, beside 500 unrolled steps"
ROUNDS = 5


def peak(kind: str) -> float:
    """Megabytes of one hypergradient, in a process of its own."""
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.hypergradients", kind],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parent.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(output.stdout)) / 1e6


def test_implicit_beside_unrolled(benchmark: BenchmarkFixture, record: Recorder):
    nodes = len(load_task("cora").train)
    implicit, unrolled = cora_hypergradient("implicit"), cora_hypergradient("unrolled")
    compared: list[float] = []

    def compare() -> None:
        """Called before each round of ours, so that both meet the same machine."""
        begin = time.process_time()
        unrolled()
        compared.append(time.process_time() - begin)

    with threadpool_limits(1):
        found = benchmark.pedantic(implicit, setup=compare, rounds=ROUNDS, warmup_rounds=1)
    assert torch.isfinite(found).all()
    seconds = benchmark.stats.stats.median
    record(WHAT, nodes, lapbench=seconds, comparator=statistics.median(compared), target=20)
    if MEASURABLE:
        record(
            f"memory of the {WHAT}",
            nodes,
            lapbench=peak("implicit"),
            comparator=peak("unrolled"),
            target=40,
            unit="MB",
        )
