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


# Slots, answers, cells ("a:bc" needs b and c), and starts ("b/a" beside a).
STARTS = {
    "as many as there are slots": ([2], {}, "a b c d", "a b/a c/b d/c"),
    "slots come and go": (
        [0, 0, 1, 3, 3, 1, 0, 0, 0, 2],
        {},
        "a b c d e f g",
        "a b/a c/ab d/bc e f/e g/f",
    ),
    "sources first, others overtake": ([2], {}, "a:cd b c d", "b c/b d/c a"),
    "a source outside the run is there": ([1], {}, "a:b", "a"),
    "asked for again while another run has it": ([1], {"a": [elsewhere] * 2}, "a b", "a b a a"),
    "its source is in another run": ([2], {"a": [elsewhere] * 2}, "a b:a", "a a a b"),
    "one death, again and alone at the end": ([2], {"b": [dies]}, "a b c d", "a b/a c/b d/c b"),
    "two deaths": ([2], {"b": [dies] * 2}, "a b c d", "a b/a c/b d/c b b"),
    "three deaths": ([2], {"b": [dies] * 3}, "a b c", "a b/a c/b b b"),
    "suspects one by one": (
        [3],
        {"a": [dies] * 2, "b": [dies], "c": [dies]},
        "a b c d",
        "a b/a c/ab d/bc a b c a",
    ),
    "a suspect of another run stays alone": (
        [3],
        {"a": [dies, elsewhere], "b": [dies, elsewhere, elsewhere]},
        "a b c",
        "a b/a c/ab a b a b b",
    ),
    "what needs a suspect follows it": ([2], {"a": [dies]}, "a b:a c", "a c/a a b"),
    "any other error is that of the cell": (
        [1],
        {"b": [raises(ImportError("no such module"))]},
        "a b c",
        "a b c",
    ),
}


@pytest.mark.parametrize("case", STARTS.values(), ids=STARTS)
def test_cells_start_in_order(
    tmp_path: Path, case: tuple[list[int], dict[str, list[Answer]], str, str]
):
    slots, answers, cells, expected = case
    answers = {key: list(given) for key, given in answers.items()}
    deaths = sum(answer is dies for given in answers.values() for answer in given)
    made = [planned(key, *sources) for key, _, sources in (c.partition(":") for c in cells.split())]
    starts, shown = run(Machine(slots, **answers), tmp_path, *made)
    assert " ".join(f"{key}/{beside}".rstrip("/") for key, beside in starts) == expected
    failed = ResultsFolder(tmp_path).list_keys()
    assert shown.count("skipped: beneath it") == len(made) - len(failed)
    again = shown.count("its process died; it runs again, alone, after the others")
    assert again + shown.count("its process died 3 times") == deaths


def test_waiting_for_slots_leaves_the_processor_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    run(Machine([0, 0, 0, 1]), tmp_path, planned("a"))
    assert naps == [schedule._LOOK] * 3


def test_three_deaths_and_other_errors_are_failed_records(tmp_path: Path):
    machine = Machine([2], b=[dies] * 3, c=[raises(ImportError("no such module"))])
    run(machine, tmp_path, *map(planned, "abc"))
    records = [ResultsFolder(tmp_path).read_record(key) for key in "bc"]
    assert [record.status for record in records] == ["failed", "failed"]
    assert "its process died 3 times" in str(records[0].reason)
    assert records[1].reason == "ImportError: no such module"


def test_a_record_that_was_there_before_the_last_death_counts(tmp_path: Path):
    def dies_late(cell: PlannedCell) -> Record:
        ResultsFolder(tmp_path).write_record(finished(cell))
        raise ProcessDiedError("gone")

    _, shown = run(Machine(a=[dies, dies, dies_late]), tmp_path, planned("a"))
    assert "failed" not in shown
    assert ResultsFolder(tmp_path).read_record("a").status == "skipped"


@pytest.mark.parametrize("kind", [OSError, LapbenchError])
def test_what_concerns_all_cells_ends_the_run(tmp_path: Path, kind: type[Exception]):
    machine = Machine(b=[raises(kind("no space, or no scheduler"))])
    with refused(kind, "no space"):
        run(machine, tmp_path, *map(planned, "abc"))


def test_progress_counts_what_is_done_running_and_failed(tmp_path: Path):
    machine = Machine([2], b=[dies] * 3, c=[lambda cell: failed_record(cell, "no luck")])
    _, shown = run(machine, tmp_path, *map(planned, "abcd"))
    assert "failed: no luck" in shown
    assert "4/4" in shown
    assert "0 running, 2 failed" in shown
