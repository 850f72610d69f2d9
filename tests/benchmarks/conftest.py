"""The table of what was measured, and where it is stored."""

from importlib.metadata import version
from typing import Any

import pytest
import torch
from benchmarks.measurements import HEADERS, MEASUREMENTS, Recorder
from pytest_benchmark.fixture import BenchmarkFixture
from tabulate import tabulate

LIBRARIES = ("lapbench", "numpy", "scikit-learn", "scipy", "torch")


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
    lines = [found.line() for found in config.stash.get(MEASUREMENTS, [])]
    if not lines:
        return
    terminalreporter.section("one step, forward and backward, CPU time, one thread")
    right = ["left", *["right"] * 5, "left", "left"]
    terminalreporter.write_line(tabulate(lines, HEADERS, colalign=right, disable_numparse=True))
    if config.getoption("benchmark_autosave"):
        terminalreporter.write_line(f"\nkept in {config.getoption('benchmark_storage')}")
