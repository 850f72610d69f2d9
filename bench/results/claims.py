"""Claims on running cells, so that one process has each, and notes on their progress."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lapbench.results.folder import ResultsFolder
from lapbench.training.events import Events, events_in_words

_SECONDS = 0.5
"""Between two notes of a cell; a reader looks no more often."""


@contextmanager
def claim(folder: ResultsFolder, name: str) -> Iterator[bool]:
    """Hold a name in a results folder; yield False if another process holds it.

    The claim of a process that dies ends. Look for a result after claiming a name.
    """
    path = _path(folder, name, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        for left in (path, _path(folder, name, "json")):
            with suppress(OSError):
                left.unlink()
        lock.release()


def file_events(folder: ResultsFolder, key: str) -> Events:
    """Events that write notes for the process which waits for a cell."""
    path = _path(folder, key, "json")
    latest = -_SECONDS

    def note(epoch: int | None, text: str) -> None:
        nonlocal latest
        now = time.monotonic()
        if now - latest >= _SECONDS:
            latest = now
            with suppress(OSError):  # A note that fails must not stop the cell.
                path.write_text(json.dumps([epoch, text]), encoding="utf-8")

    return events_in_words(note)


def read_note(folder: ResultsFolder, key: str) -> tuple[int | None, str]:
    """Latest note on a cell: epoch and text, or None and "" without a complete note."""
    try:
        epoch, text = json.loads(_path(folder, key, "json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, ""
    return epoch, text


def _path(folder: ResultsFolder, name: str, ending: str) -> Path:
    return folder.path / "running" / f"{name}.{ending}"
