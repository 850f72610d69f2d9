"""Progress on the terminal while cells run; silent when the output is not a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from lapbench.results.records import Record
from lapbench.suite.cells import Cell
from lapbench.suite.plan import PlannedCell

_LONG = 1e6
"""Seconds that a cell may take and still count for the time left."""


class Progress:
    """A bar for all cells, one for the epochs of each that runs, and a line for each that ended."""

    def __init__(self, console: Console, cells: int) -> None:
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            speed_estimate_period=_LONG,
        )
        self._all = self._bars.add_task("cells", total=cells, note="")
        self._running: dict[str, TaskID] = {}
        self._failed = 0

    def __enter__(self) -> Self:
        if not self._bars.disable:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._bars.disable:
            self._bars.stop()

    def start(self, planned: PlannedCell) -> None:
        """Show that a cell runs."""
        epochs = planned.cell.budget.epochs
        self._running[planned.key] = self._bars.add_task(_name(planned.cell), total=epochs, note="")
        self._count()

    def tell(self, key: str, epoch: int | None, note: str) -> None:
        """Show how far a running cell is."""
        self._bars.update(self._running[key], completed=epoch, note=note)

    def leave(self, planned: PlannedCell, why: str) -> None:
        """Show that a cell does not run any more and is not finished."""
        self._bars.remove_task(self._running.pop(planned.key))
        if why:
            self._say(f"{_name(planned.cell)}: {why}")
        self._count()

    def finish(self, record: Record) -> None:
        """Show how a cell ended."""
        self._bars.remove_task(self._running.pop(record.key))
        accuracy = [f"{m.value:.1%}" for m in record.metrics if m.metric == "accuracy"]
        self._failed += record.status == "failed"
        self._say(
            f"{_name(record.cell)}: "
            f"{accuracy[0] if accuracy else f'{record.status}: {record.reason}'}"
        )
        self._bars.advance(self._all)
        self._count()

    def _count(self) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self._bars.update(self._all, note=f"{len(self._running)} running{failed}")

    def _say(self, text: str) -> None:
        if not self._bars.disable:
            self._bars.console.print(text, highlight=False, markup=False)


def _name(cell: Cell) -> str:
    training = "" if cell.training == "natural" else f" ({cell.training})"
    return f"{cell.dataset.name} {cell.method.name}{training} #{cell.repetition}"
