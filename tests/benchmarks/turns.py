"""Timing in turn with a reference."""

import gc
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

TIMED = pytest.mark.benchmark(timer=time.process_time, disable_gc=True)


class Turns(NamedTuple):
    """Seconds of every round, ours and the reference's, and what each result in the last."""

    seconds: list[float]
    result: Any
    reference_seconds: list[float]
    expected: Any


def cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes while garbage collection waits, and what it returns."""
    gc.disable()
    try:
        begin = time.process_time()
        result = call()
        return time.process_time() - begin, result
    finally:
        gc.enable()


def in_turn(
    benchmark: BenchmarkFixture,
    ours: Callable[[], Any],
    reference: Callable[[], Any],
    rounds: int,
    reference_rounds: int | None = None,
    warm_up: int = 1,
) -> Turns:
    """Time the reference right before each round of ours, so that both meet the same machine.

    The first rounds warm up, and do not count; a reference that takes minutes is called
    `reference_rounds` times only, each of which counts.
    """
    seconds: list[float] = []
    expected: Any = None
    limit = reference_rounds or warm_up + rounds

    def compare() -> None:
        nonlocal expected
        if len(seconds) < limit:
            took, expected = cpu_seconds(reference)
            seconds.append(took)

    result = benchmark.pedantic(ours, setup=compare, rounds=rounds, warmup_rounds=warm_up)
    return Turns(benchmark.stats.stats.data, result, seconds[-rounds:], expected)
