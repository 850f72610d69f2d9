"""What lapbench itself costs: cells in processes of their own, and on a cluster.

The clock on the wall counts here, as processes wait for each other.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from benchmarks.measurements import Recorder
from make_runs import Cluster
from make_suites import MOONS, on_karate, suite
from pytest_benchmark.fixture import BenchmarkFixture
from rich.console import Console

from lapbench.running.api import RunOptions, prepare
from lapbench.running.backends import Backend, run_cells
from lapbench.running.progress import Progress

CELLS = 1000
REAL = 8
SKIPPED = '[{ name = "gll", gll.base_update = "entropy" }]'
"""Cannot work on nodes, and says so."""
DIGITS = '"digits"\nbackbone = "small_cnn"\nsmall_cnn = { width = 16, feature_size = 32 }\n'


def seconds(path: Path, results: Path, count: int, status: str, execution: Backend) -> float:
    """Seconds in which so many repetitions of the one cell of a suite are run and stored."""
    prepared = prepare(path, RunOptions(results=results, seeds=count))
    prepared.folder.write_plan(prepared.plan)
    with Progress(Console(quiet=True), count) as progress:
        begin = time.perf_counter()
        run_cells(prepared.missing, prepared.folder, progress, execution)
        took = time.perf_counter() - begin
    result = [prepared.folder.read_record(key).status for key in prepared.folder.list_keys()]
    assert result == count * [status]
    return took


@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize("jobs", [1, 2])
def test_cost_of_a_trivial_cell(
    benchmark: BenchmarkFixture, record: Recorder, tmp_path: Path, jobs: int
):
    path = on_karate(tmp_path, SKIPPED)
    took: list[float] = []

    def run() -> None:
        took.append(seconds(path, tmp_path / "r", CELLS, "skipped", Backend(jobs)))

    benchmark.pedantic(run, rounds=1)
    what = f"cell that does nothing, {jobs} at a time, on the clock"
    record(what, CELLS, lapbench=[each / CELLS for each in took], target=0.05)


@pytest.mark.benchmark(timer=time.perf_counter)
def test_two_workers_of_a_cluster_beside_one(
    benchmark: BenchmarkFixture, record: Recorder, tmp_path: Path
):
    """Cells of a second each, so small that two cores do not wait for one memory.

    The first run starts the processes of both workers.
    """
    pytest.importorskip("distributed", reason="distributed is not installed")
    path = suite(tmp_path, ["softmax"])
    text = path.read_text().replace("epochs = 4", "epochs = 15")
    assert MOONS in text
    path.write_text(text.replace(MOONS, DIGITS))
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, stack)

        def run(name: str, workers: int) -> Callable[[], float]:
            execution = Backend(workers, cluster.address)
            return lambda: seconds(path, tmp_path / name, REAL, "ok", execution)

        run("first", 2)()
        one = run("one", 1)()
        two = benchmark.pedantic(run("two", 2), rounds=1)
    record(
        "real cells, two workers of a cluster, on the clock",
        REAL,
        lapbench=[two],
        reference="one worker",
        compared=[one],
        target=1.6,
    )
