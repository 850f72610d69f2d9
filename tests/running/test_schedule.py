"""Cells start in their order, after those they need; a cell whose process died runs alone."""

import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from expect_refusal import refused
from make_cells import small_cell
from rich.console import Console

from lapbench.errors import LapbenchError
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.running import schedule
from lapbench.running.cell import failed_record
from lapbench.running.progress import Progress
from lapbench.running.schedule import run_scheduled
from lapbench.running.worker import ProcessDiedError
from lapbench.suite.plan import PlannedCell

Answer = Callable[[PlannedCell], Record | None]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_LOOK", 0.001)


def planned(key: str, *sources: str) -> PlannedCell:
    """A cell whose attacks need the models of others."""
    cell = replace(small_cell("softmax"), sources={f"from {name}": name for name in sources})
    return PlannedCell(key, "autograd", cell)


def finished(cell: PlannedCell) -> Record:
    return replace(failed_record(cell, "beneath it"), status="skipped")


def elsewhere(_: PlannedCell) -> None:
    return None


def raises(error: Exception) -> Answer:
    def answer(_: PlannedCell) -> Record:
        raise error

    return answer


dies = raises(ProcessDiedError("gone"))


class Machine:
    """Processes that are made up: each cell answers in turn what it is told to, then a record.

    The cell that runs longest ends when the schedule asks for the slots.
    """

    def __init__(self, slots: Sequence[int] = (1,), **answers: list[Answer]) -> None:
        self._slots, self._answers = list(slots), answers
        self._running: list[tuple[PlannedCell, Future[Record | None]]] = []

    def submit(self, cell: PlannedCell) -> "Future[Record | None]":
        future: Future[Record | None] = Future()
        self._running.append((cell, future))
        return future

    def slots(self) -> int:
        """The next number of slots; the last one stays."""
        if self._running:
            self._end(*self._running.pop(0))
        return self._slots.pop(0) if len(self._slots) > 1 else self._slots[0]

    def _end(self, cell: PlannedCell, future: "Future[Record | None]") -> None:
        left = self._answers.get(cell.key, [])
        try:
            future.set_result((left.pop(0) if left else finished)(cell))
        except Exception as error:
            future.set_exception(error)


class Seen(Progress):
    """For every start the key, and the keys of the cells that run beside it."""

    def __init__(self, console: Console, cells: int) -> None:
        super().__init__(console, cells)
        self.starts: list[tuple[str, str]] = []

    def start(self, planned: PlannedCell) -> None:
        self.starts.append((planned.key, "".join(self._running)))
        super().start(planned)


def run(machine: Machine, folder: Path, *cells: PlannedCell) -> tuple[list[tuple[str, str]], str]:
    """Run cells on a machine; return their starts, and what the terminal shows."""
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with console.capture() as shown, Seen(console, len(cells)) as progress:
        run_scheduled(cells, ResultsFolder(folder), progress, machine.submit, machine.slots)
    return progress.starts, shown.get()


def keys(starts: list[tuple[str, str]]) -> str:
    return "".join(key for key, _ in starts)


def test_cells_start_in_their_order_as_many_as_there_are_slots(tmp_path: Path):
    starts, _ = run(Machine([2]), tmp_path, *map(planned, "abcd"))
    assert starts == [("a", ""), ("b", "a"), ("c", "b"), ("d", "c")]


def test_slots_may_come_and_go(tmp_path: Path):
    slots = [0, 0, 1, 3, 3, 1, 0, 0, 0, 2]
    starts, _ = run(Machine(slots), tmp_path, *map(planned, "abcdefg"))
    assert starts[:4] == [("a", ""), ("b", "a"), ("c", "ab"), ("d", "bc")]
    assert starts[4:] == [("e", ""), ("f", "e"), ("g", "f")]


def test_waiting_for_slots_leaves_the_processor_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    run(Machine([0, 0, 0, 1]), tmp_path, planned("a"))
    assert naps == [schedule._LOOK] * 3


def test_a_cell_waits_for_its_sources_and_others_overtake_it(tmp_path: Path):
    cells = planned("a", "c", "d"), planned("b"), planned("c"), planned("d")
    starts, _ = run(Machine([2]), tmp_path, *cells)
    assert starts == [("b", ""), ("c", "b"), ("d", "c"), ("a", "")]


def test_a_source_that_is_no_cell_of_the_run_is_there_already(tmp_path: Path):
    starts, _ = run(Machine(), tmp_path, planned("a", "b"))
    assert starts == [("a", "")]


def test_a_cell_that_another_run_has_is_asked_for_again(tmp_path: Path):
    starts, shown = run(Machine(a=[elsewhere] * 2), tmp_path, *map(planned, "ab"))
    assert keys(starts) == "abaa"
    assert shown.count("skipped: beneath it") == 2


def test_what_needs_a_cell_that_another_run_has_waits_for_it(tmp_path: Path):
    machine = Machine([2], a=[elsewhere] * 2)
    starts, _ = run(machine, tmp_path, planned("a"), planned("b", "a"))
    assert keys(starts) == "aaab"


class TestDeaths:
    @pytest.mark.parametrize("deaths", [1, 2])
    def test_a_cell_whose_process_died_runs_again_alone_after_the_others(
        self, tmp_path: Path, deaths: int
    ):
        machine = Machine([2], b=[dies] * deaths)
        starts, shown = run(machine, tmp_path, *map(planned, "abcd"))
        assert keys(starts[:4]) == "abcd"
        assert starts[4:] == [("b", "")] * deaths
        assert shown.count("runs again, alone") == deaths
        assert shown.count("skipped: beneath it") == 4
        assert not ResultsFolder(tmp_path).list_keys()

    def test_after_three_deaths_it_is_stored_as_failed(self, tmp_path: Path):
        machine = Machine([2], b=[dies] * 3)
        starts, shown = run(machine, tmp_path, *map(planned, "abc"))
        assert keys(starts) == "abcbb"
        record = ResultsFolder(tmp_path).read_record("b")
        assert record.status == "failed"
        assert "died 3 times" in str(record.reason)
        assert "1 failed" in shown

    def test_a_record_that_was_there_before_the_last_death_counts(self, tmp_path: Path):
        def dies_late(cell: PlannedCell) -> Record:
            ResultsFolder(tmp_path).write_record(finished(cell))
            raise ProcessDiedError("gone")

        _, shown = run(Machine(a=[dies, dies, dies_late]), tmp_path, planned("a"))
        assert "failed" not in shown
        assert ResultsFolder(tmp_path).read_record("a").status == "skipped"

    def test_suspects_run_one_after_the_other(self, tmp_path: Path):
        machine = Machine([3], a=[dies, dies], b=[dies], c=[dies])
        starts, _ = run(machine, tmp_path, *map(planned, "abcd"))
        assert starts[4:] == [(key, "") for key in "abca"]

    def test_a_suspect_that_another_run_has_stays_alone(self, tmp_path: Path):
        machine = Machine([3], a=[dies, elsewhere], b=[dies, elsewhere, elsewhere])
        starts, _ = run(machine, tmp_path, *map(planned, "abc"))
        assert starts[3:] == [(key, "") for key in "ababb"]

    def test_what_needs_a_suspect_follows_it(self, tmp_path: Path):
        machine = Machine([2], a=[dies])
        starts, _ = run(machine, tmp_path, planned("a"), planned("b", "a"), planned("c"))
        assert keys(starts) == "acab"


@pytest.mark.parametrize("kind", [OSError, LapbenchError])
def test_what_concerns_all_cells_ends_the_run(tmp_path: Path, kind: type[Exception]):
    machine = Machine(b=[raises(kind("no space, or no scheduler"))])
    with refused(kind, "no space"):
        run(machine, tmp_path, *map(planned, "abc"))


def test_any_other_error_is_that_of_the_cell(tmp_path: Path):
    machine = Machine(b=[raises(ImportError("no such module"))])
    starts, _ = run(machine, tmp_path, *map(planned, "abc"))
    assert keys(starts) == "abc"
    assert ResultsFolder(tmp_path).read_record("b").reason == "ImportError: no such module"


def test_progress_counts_what_is_done_running_and_failed(tmp_path: Path):
    machine = Machine([2], b=[dies] * 3, c=[lambda cell: failed_record(cell, "no luck")])
    _, shown = run(machine, tmp_path, *map(planned, "abcd"))
    assert "failed: no luck" in shown
    assert "4/4" in shown
    assert "0 running, 2 failed" in shown
