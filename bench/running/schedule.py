"""Which cell runs when, on local processes or on a cluster; deaths, and cells of another run."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from lapbench.errors import LapbenchError
from lapbench.results.claims import read_note
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.running.cell import store_failure
from lapbench.running.progress import Progress
from lapbench.running.worker import ProcessDiedError
from lapbench.suite.plan import PlannedCell

DEATHS = 3
_DIED = (
    f"its process died {DEATHS} times, twice while no other cell ran; memory may have run out; "
    "use a smaller batch, or --memory to see where it fails"
)
_LOOK = 0.5
"""Seconds between two looks at what is new."""

Submit = Callable[[PlannedCell], "Future[Record | None]"]
Slots = Callable[[], int]


@dataclass(eq=False)
class _Queue:
    """The cells that are not finished.

    Attributes:
        waiting: those that never ran, and those that another run has.
        suspects: those whose process died; they run alone, when all others are done.
        deaths: of the process of each cell.
        running: by their futures.

    """

    waiting: list[PlannedCell]
    suspects: list[PlannedCell] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    running: dict["Future[Record | None]", PlannedCell] = field(default_factory=dict)

    def unfinished(self) -> bool:
        return bool(self.waiting or self.suspects or self.running)

    def take(self, slots: int) -> list[PlannedCell]:
        """The cells to start now, whose sources are done."""
        if any(self.deaths[planned.key] for planned in self.running.values()):
            return []
        unfinished = [*self.waiting, *self.suspects, *self.running.values()]
        keys = {planned.key for planned in unfinished}
        ready = [p for p in self.waiting if not keys & set(p.cell.sources.values())]
        chosen = ready[: max(slots - len(self.running), 0)]
        if chosen or ready or self.running:
            self.waiting = [planned for planned in self.waiting if planned not in chosen]
            return chosen
        chosen, self.suspects = self.suspects[:1], self.suspects[1:]
        return chosen


def run_scheduled(
    cells: Sequence[PlannedCell],
    folder: ResultsFolder,
    progress: Progress,
    submit: Submit,
    slots: Slots,
) -> None:
    """Run cells, as many at a time as there are slots; each is stored by the process that runs it.

    A cell starts when those whose models its attacks use are done. One whose process dies runs
    again alone, when nothing else is left, and after three deaths becomes a failed record. A cell
    that another run in the same folder has is looked after until it is finished there.

    Args:
        cells: in their order.
        folder: of their results.
        progress: is told of every start, note and end.
        submit: gives a cell to an executor. Its future returns the record, or None if another
            process has the cell, and raises ``ProcessDiedError`` if its process died.
        slots: how many cells may run now.

    """
    queue = _Queue(list(cells))
    while queue.unfinished():
        for planned in queue.take(slots()):
            progress.start(planned)
            queue.running[submit(planned)] = planned
        done, _ = wait(queue.running, _LOOK, FIRST_COMPLETED)
        for planned in queue.running.values():
            progress.tell(planned.key, *read_note(folder, planned.key))
        elsewhere = [_end(queue, future, folder, progress) for future in done]
        if any(elsewhere) or not (done or queue.running):
            time.sleep(_LOOK)


def _end(
    queue: _Queue, future: "Future[Record | None]", folder: ResultsFolder, progress: Progress
) -> bool:
    """Take a future that is done from the queue; return whether its cell runs elsewhere."""
    planned = queue.running.pop(future)
    try:
        record = future.result()
    except ProcessDiedError:
        queue.deaths[planned.key] += 1
        if queue.deaths[planned.key] < DEATHS:
            queue.suspects.append(planned)
            progress.leave(planned, "its process died; it runs again, alone, after the others")
            return False
        record = store_failure(planned, folder, _DIED)
    except (OSError, LapbenchError):
        raise
    except Exception as error:
        record = store_failure(planned, folder, f"{type(error).__name__}: {error}")
    if record is None:
        (queue.suspects if queue.deaths[planned.key] else queue.waiting).append(planned)
        progress.leave(planned, "")
        return True
    progress.finish(record)
    return False
