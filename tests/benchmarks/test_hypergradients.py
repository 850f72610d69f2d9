"""Time and memory of the implicit hypergradient on Cora, beside 500 unrolled steps of Adam.

The unrolled one is no oracle: it does not converge to the implicit one (suite `hypergradients`).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from benchmarks.hypergradients import cora_hypergradient
from benchmarks.measurements import Recorder
from benchmarks.peak_memory import MEASURABLE
from benchmarks.solves import solves
from benchmarks.turns import TIMED, in_turn
from pytest_benchmark.fixture import BenchmarkFixture
from table import load_task

pytestmark = TIMED
WHAT, REFERENCE = "hypergradient on Cora", "500 unrolled steps"
ROUNDS = 5


def peak(kind: str) -> float:
    """Megabytes of one hypergradient, in a process of its own."""
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.hypergradients", kind],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": "helpers"},
        cwd=Path(__file__).parent.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(output.stdout)) / 1e6


def test_implicit_beside_unrolled(benchmark: BenchmarkFixture, record: Recorder):
    nodes = len(load_task("cora").train)
    implicit, unrolled = cora_hypergradient("implicit"), cora_hypergradient("unrolled")
    turns = in_turn(benchmark, implicit, unrolled, ROUNDS)
    assert torch.isfinite(turns.found).all()
    record(
        WHAT,
        nodes,
        lapbench=turns.seconds,
        reference=REFERENCE,
        compared=turns.reference_seconds,
        target=20,
        **solves(implicit),
    )
    if MEASURABLE:
        record(
            f"memory of the {WHAT}",
            nodes,
            lapbench=[peak("implicit")],
            reference=REFERENCE,
            compared=[peak("unrolled")],
            target=40,
            unit="MB",
        )
