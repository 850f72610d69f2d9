"""Running several cells at a time, each in a process of its own."""

import signal
import warnings
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

from loky import ProcessPoolExecutor

from lapbench.execute import failed_record, run_cell
from lapbench.progress import Progress
from lapbench.records import PlannedCell, Record, ResultsFolder

_DIED = "its process died, as it does when memory runs out; try --jobs 1, or a smaller batch"


def run_parallel(
    cells: Sequence[PlannedCell], folder: ResultsFolder, progress: Progress, jobs: int
) -> None:
    """Run cells, up to ``jobs`` at a time; each is stored by its process as soon as it is finished.

    A cell starts when those whose models its attacks use are done. A process that dies takes the
    others with it: all that were running then run again one at a time, and the one whose process
    dies once more becomes a failed record.
    """
    waiting, interrupted = list(cells), list[PlannedCell]()
    with warnings.catch_warnings():
        # loky takes the caches of a large cell for a leak, and starts a new process after it.
        warnings.filterwarnings("ignore", "A worker was restarted", UserWarning)
        while waiting:
            interrupted = _run_until_one_dies(waiting, folder, progress, jobs)
            for planned in interrupted:
                if _run_until_one_dies([planned], folder, progress, 1):
                    record = failed_record(planned, _DIED)
                    folder.write_record(record)
                    progress.finish(record)


def _run_until_one_dies(
    waiting: list[PlannedCell], folder: ResultsFolder, progress: Progress, jobs: int
) -> list[PlannedCell]:
    """Run cells, taking them from the list; return those that ran when a process died."""
    running: dict[Future[Record], PlannedCell] = {}
    pool = ProcessPoolExecutor(jobs, initializer=_ignore_interrupts)
    try:
        while waiting or running:
            for planned in _ready(waiting, list(running.values()))[: jobs - len(running)]:
                running[pool.submit(run_cell, planned, folder)] = planned
                waiting.remove(planned)
                progress.start(planned.cell)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                record = future.result()
                del running[future]
                progress.finish(record)
    except BrokenExecutor:
        return list(running.values())
    finally:
        pool.shutdown(kill_workers=True)
    return []


def _ready(waiting: Sequence[PlannedCell], running: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Return the cells whose sources neither wait nor run."""
    unfinished = {planned.key for planned in (*waiting, *running)}
    return [p for p in waiting if not unfinished & set(p.cell.sources.values())]


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that the user started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
