"""The table of what was measured, and where it is stored."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.measurements import HEADERS, MEASUREMENTS, Recorder
from pytest_benchmark.fixture import BenchmarkFixture
from tabulate import tabulate
from threadpoolctl import threadpool_limits

LIBRARIES = ("lapbench", "numpy", "scikit-learn", "scipy", "torch")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """CPU time sums over threads: more than one would flatter whoever has fewer."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def record(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Recorder:
    """Skip what takes long unless speed is asked for; else where its result goes."""
    if not benchmark.enabled:
        pytest.skip("speed is measured by `tox -e timing`")
    return Recorder(request.config, benchmark)


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Versions of what was compared."""
    machine_info["libraries"] = {name: version(name) for name in LIBRARIES}
    machine_info["threads"] = torch.get_num_threads()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The one table that `tox -e timing` prints."""
    lines = [result.line() for result in config.stash.get(MEASUREMENTS, [])]
    if not lines:
        return
    terminalreporter.section("CPU time of one thread, and memory, each beside its reference")
    right = ["left", "right", "right", "right", "left", *["right"] * 3, "left"]
    terminalreporter.write_line(tabulate(lines, HEADERS, colalign=right, disable_numparse=True))
    if tag := config.getoption("benchmark_autosave"):
        folder = Path(config.getoption("benchmark_storage").removeprefix("file://"))
        files = ", ".join(str(file) for file in folder.rglob(f"*_{tag}.json"))
        terminalreporter.write_line(f"\nevery number, as JSON: {files}")
