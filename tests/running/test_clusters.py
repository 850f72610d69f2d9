"""Cells on a dask.distributed cluster: the same records, and what is lost is said and run again."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from expect_refusal import refused
from make_cells import small_cell
from make_runs import Cluster, comparable, epochs, install, records, run, wait_for

from lapbench.results.folder import ResultsFolder
from lapbench.running import cluster as cluster_module
from lapbench.running.cluster import ClusterError, connect
from lapbench.running.progress import Progress
from lapbench.running.schedule import Slots, Submit
from lapbench.running.worker import Limits, ProcessDiedError
from lapbench.suite.plan import PlannedCell

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

PLANNED = PlannedCell("0123456789abcdef", "autograd", small_cell("softmax"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        folder = tmp_path_factory.mktemp("cluster")
        install(folder, patch)
        # Else dask gives a cell to three other workers by itself before it says that they died.
        patch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
        yield Cluster(folder, stack)


@pytest.fixture
def when_halting(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What to call, once, while a cell waits after its second epoch."""
    calls: list[Any] = []
    (cluster.folder / "log").unlink(missing_ok=True)

    def tell(*_: object) -> None:
        if calls and epochs(cluster.folder, "halting") == 2:
            calls.pop()()

    monkeypatch.setattr(Progress, "tell", tell)
    yield calls
    (cluster.folder / "mended").unlink(missing_ok=True)


def run_on(cluster: Cluster, *methods: str, **options: object) -> Result:
    """Run the command on the cluster."""
    return run(cluster.folder, *methods, executor=cluster.address, jobs=2, **options)


def interrupt() -> None:
    raise KeyboardInterrupt


class TestOnACluster:
    """One after the other, as the first worker is lost in the last but one, then the scheduler."""

    def test_records_are_those_of_this_process_and_limits_hold(self, cluster: Cluster):
        ran = run_on(cluster, "softmax", "greedy", "gll", memory="1.5GB")
        assert ran.exit_code == 1
        assert "1 of 3 cells failed" in ran.output
        stored = records(cluster.folder / "results")
        assert "1.5 GB" in str(stored["greedy"].reason)
        run(cluster.folder, "softmax", "gll", results=cluster.folder / "here")
        here = comparable(cluster.folder / "here")
        assert len(here) == 2
        assert here.items() <= comparable(cluster.folder / "results").items()
        assert {record.timing is not None for record in stored.values()} == {True, False}

    def test_folder_that_a_worker_does_not_see_is_named(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(ResultsFolder, "write_plan", lambda *_: None)
        results = cluster.folder / "hidden"
        ran = run_on(cluster, "softmax", results=results)
        assert ran.exit_code == 2
        assert f"results: received {results};" in ran.output
        assert not results.exists()

    def test_after_ctrl_c_what_runs_finishes_there_and_counts(
        self, cluster: Cluster, when_halting: list[Any]
    ):
        results = cluster.folder / "stopped"
        when_halting.append(interrupt)
        ran = run_on(cluster, "halting", "softmax", results=results)
        assert ran.exit_code == 130
        assert "Stopped" in ran.output
        (cluster.folder / "mended").touch()
        wait_for(lambda: "halting" in records(results), "record of the cell that ran")
        assert run_on(cluster, "halting", "softmax", results=results).exit_code == 0
        assert epochs(cluster.folder, "halting") == 4

    def test_cell_whose_worker_is_killed_runs_again_after_the_others(self, cluster: Cluster):
        results = cluster.folder / "killed"
        ran = run_on(cluster, "parricide", "softmax", results=results)
        assert ran.exit_code == 0, ran.output
        assert {record.status for record in records(results).values()} == {"ok"}
        assert epochs(cluster.folder, "parricide") == 1 + 4

    def test_lost_scheduler_is_said_and_a_local_run_completes(
        self, cluster: Cluster, when_halting: list[Any], capfd: pytest.CaptureFixture[str]
    ):
        results = cluster.folder / "lost"
        when_halting.append(cluster.scheduler.kill)
        ran = run_on(cluster, "softmax", "halting", results=results)
        assert ran.exit_code == 2
        expected = f"Error: the scheduler at {cluster.address} is lost; what is finished is kept"
        assert ran.output.startswith(expected)
        assert "Traceback" not in capfd.readouterr().err
        assert list(records(results)) == ["softmax"]
        (cluster.folder / "mended").touch()
        assert run(cluster.folder, "softmax", "halting", results=results).exit_code == 0
        assert {record.status for record in records(results).values()} == {"ok"}


class MadeUpClient:
    """A client of a cluster whose worker, if it has one, has the cells of one future."""

    def __init__(self) -> None:
        self.remote: Future[Any] = Future()
        self.threads: dict[str, int] = {}
        self.is_lost = False

    def __call__(self, *_: object, **__: object) -> "MadeUpClient":
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def nthreads(self) -> dict[str, int]:
        if self.is_lost:
            raise OSError("connection closed")
        return self.threads

    def get_executor(self, pure: bool) -> "MadeUpClient":  # noqa: ARG002
        return self

    def submit(self, *_: object) -> "Future[Any]":
        return self.remote


class TestAnswers:
    """Of a client that is made up, as the real ones come late or seldom."""

    @pytest.fixture
    def client(self, monkeypatch: pytest.MonkeyPatch) -> MadeUpClient:
        made_up = MadeUpClient()
        monkeypatch.setattr(distributed, "Client", made_up)
        return made_up

    @pytest.fixture
    def connected(self, client: MadeUpClient, tmp_path: Path) -> Iterator[tuple[Submit, Slots]]:  # noqa: ARG002
        with connect("tcp://127.0.0.1:1", ResultsFolder(tmp_path), Limits()) as stored:
            yield stored

    def test_slots_are_the_threads_of_all_workers(
        self, client: MadeUpClient, connected: tuple[Submit, Slots]
    ):
        client.threads = {"tcp://a": 2, "tcp://b": 3}
        assert connected[1]() == 5

    def test_lost_scheduler_is_said_by_slots_and_cells(
        self, client: MadeUpClient, connected: tuple[Submit, Slots]
    ):
        submit, slots = connected
        stored = submit(PLANNED)
        client.is_lost = client.remote.cancel()
        with refused(ClusterError, "tcp://127.0.0.1:1", "start another"):
            slots()
        with refused(ClusterError, "tcp://127.0.0.1:1"):
            stored.result()

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (
                distributed.KilledWorker("cell", SimpleNamespace(address="tcp://a"), 4),
                ProcessDiedError,
            ),
            (ProcessDiedError("gone"), ProcessDiedError),
            (OSError("no space"), OSError),
            (ClusterError("not seen"), ClusterError),
        ],
    )
    def test_errors_come_in_the_terms_of_the_schedule(
        self,
        client: MadeUpClient,
        connected: tuple[Submit, Slots],
        error: Exception,
        expected: type[Exception],
    ):
        stored = connected[0](PLANNED)
        client.remote.set_exception(error)
        with pytest.raises(expected):
            stored.result()

    def test_cluster_without_workers_is_named_once(
        self, connected: tuple[Submit, Slots], monkeypatch: pytest.MonkeyPatch
    ):
        slots = connected[1]
        assert slots() == 0
        monkeypatch.setattr(cluster_module, "_PATIENCE", -1.0)
        with pytest.warns(RuntimeWarning, match="tcp://127.0.0.1:1 has no worker") as caught:
            assert [slots(), slots()] == [0, 0]
        assert len(caught) == 1


@pytest.mark.parametrize(
    "address", ["foo", "foo://x", "tcp://127.0.0.1:nope", "tcp://", "tcp://[::1", "inproc://x"]
)
def test_what_is_no_address_is_refused_at_once(tmp_path: Path, address: str):
    with refused(ClusterError, "executor: ", address, "dask scheduler"):
        connect(address, ResultsFolder(tmp_path), Limits()).__enter__()


def test_scheduler_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "_PATIENCE", 0.2)
    with refused(ClusterError, "executor: ", "'tcp://127.0.0.1:1'"):
        connect("tcp://127.0.0.1:1", ResultsFolder(tmp_path), Limits()).__enter__()


def test_where_distributed_is_not_installed_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused(ClusterError, "pip install 'lapbench[dask]'"):
        connect("tcp://127.0.0.1:1", ResultsFolder(tmp_path), Limits()).__enter__()
