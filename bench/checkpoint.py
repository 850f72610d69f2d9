"""Checkpoints: the state of a training after an epoch, from which a stopped cell goes on."""

import hashlib
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

import lapbench.datasets
import lapbench.methods
from lapbench.records import DamagedRecordError, RecordError, ResultsFolder
from lapbench.training_state import State

SECONDS = 10.0
"""Between two checkpoints of a cell at least; shorter work is sooner done again than stored."""


class Checkpoints:
    """The checkpoint of one training in a results folder, the latest alone.

    Args:
        folder: of the results; the file is ``checkpoints/<name>.pt`` in it.
        name: the key of the cell.

    """

    def __init__(self, folder: ResultsFolder, name: str) -> None:
        self._folder, self._name = folder, name
        self._path = folder.path / "checkpoints" / f"{name}.pt"
        self._latest = time.monotonic()

    def read(self) -> State | None:
        """Return what was saved by the same code; None where there is nothing.

        Warns:
            RuntimeWarning: if a checkpoint is damaged or of other code, and training starts anew.

        """
        try:
            state = self._folder.read_weights(self._name, "checkpoints")
        except DamagedRecordError as error:
            warnings.warn(f"{error}; its training starts anew", RuntimeWarning, stacklevel=2)
            return None
        except RecordError:
            return None
        if state.pop("code") == _code():
            return state
        reason = f"{self._path} was made by other code or another torch; its training starts anew"
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
        return None

    def save(self, make: Callable[[], State]) -> None:
        """Replace the checkpoint, if the last one is ten seconds old."""
        if time.monotonic() - self._latest >= SECONDS:
            self._folder.write_weights(self._name, make() | {"code": _code()}, "checkpoints")
            self._latest = time.monotonic()

    def delete(self) -> None:
        """Remove what is not needed any more."""
        self._path.unlink(missing_ok=True)


@cache
def _code() -> str:
    """Return a hash of lapbench's source, as the process read it, and torch's version."""
    digest = hashlib.sha256(torch.__version__.encode())
    for package in (lapbench, lapbench.methods, lapbench.datasets):
        for module in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(module.read_bytes())
    return digest.hexdigest()[:16]
