"""Progress on the terminal while cells run; silent when the output is not a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from lapbench.cells import Cell
from lapbench.records import Record
from lapbench.train import Epoch


class Progress:
    """A bar for the cells, one for the current epochs, and a line for each finished cell."""

    def __init__(self, console: Console, cells: int) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._all = self._bars.add_task("cells", total=cells, note="")
        self._epochs = self._bars.add_task("epochs", total=None, note="", visible=False)

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

    def start(self, cell: Cell) -> None:
        """Show which cell runs."""
        self._bars.reset(
            self._epochs,
            description=_name(cell),
            total=cell.budget.epochs,
            note="",
            visible=True,
        )

    def epoch(self, epoch: Epoch) -> None:
        """Show an epoch's results."""
        if epoch.number:
            note = f"loss {epoch.curves['training_loss']:.3g}"
            if "validation_accuracy" in epoch.curves:
                note += f", validation {epoch.curves['validation_accuracy']:.1%}"
            self._bars.update(self._epochs, completed=epoch.number, note=note)

    def pretraining(self, number: int, loss: float) -> None:
        """Show an epoch of pretraining."""
        self._bars.update(self._epochs, note=f"pretraining, epoch {number}: loss {loss:.3g}")

    def attack(self, label: str) -> None:
        """Show which attack runs."""
        self._bars.update(self._epochs, note=f"attack {label}")

    def finish(self, record: Record) -> None:
        """Show how a cell ended."""
        accuracy = [f"{m.value:.1%}" for m in record.metrics if m.metric == "accuracy"]
        if not self._bars.disable:
            what = accuracy[0] if accuracy else f"{record.status}: {record.reason}"
            self._bars.console.print(f"{_name(record.cell)}: {what}", highlight=False, markup=False)
        self._bars.update(self._epochs, visible=False)
        self._bars.advance(self._all)


def _name(cell: Cell) -> str:
    training = "" if cell.training == "natural" else f" ({cell.training})"
    return f"{cell.dataset.name} {cell.method.name}{training} #{cell.repetition}"
