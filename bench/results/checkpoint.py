"""Checkpoints: the state of a training after an epoch, from which a stopped cell continues."""

import hashlib
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

import lapbench.datasets
import lapbench.methods
from lapbench import discovery
from lapbench.results.folder import DamagedRecordError, RecordError, ResultsFolder
from lapbench.suite.cells import Cell
from lapbench.training.state import State

SECONDS = 10.0
"""Least time between two checkpoints of a cell."""


class Checkpoints:
    """The latest checkpoint of one training in a results folder.

    Args:
        folder: results folder; the file is ``checkpoints/<name>.pt`` in it.
        name: the key of the cell.
        cell: configuration of the training.

    """

    def __init__(self, folder: ResultsFolder, name: str, cell: Cell) -> None:
        self._folder, self._name = folder, name
        self._code = _CODE + _plugins_of(cell)
        self._path = folder.path / "checkpoints" / f"{name}.pt"
        self._latest = time.monotonic()

    def read(self) -> State | None:
        """State that the same code saved; None if there is none.

        Warns:
            RuntimeWarning: if a checkpoint is damaged or from other code; training restarts.

        """
        try:
            state = self._folder.read_weights(self._name, "checkpoints")
        except DamagedRecordError as error:
            warnings.warn(f"{error}; its training starts anew", RuntimeWarning, stacklevel=2)
            return None
        except RecordError:
            return None
        if state.pop("code") == self._code:
            return state
        reason = f"{self._path} was made by other code or another torch; its training starts anew"
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
        return None

    def save(self, make: Callable[[], State]) -> None:
        """Replace the checkpoint, if the last one is at least ten seconds old.

        Warns:
            RuntimeWarning: if it cannot be written; training continues.

        """
        if time.monotonic() - self._latest < SECONDS:
            return
        try:
            self._folder.write_weights(self._name, make() | {"code": self._code}, "checkpoints")
        except OSError as error:
            warnings.warn(f"no checkpoint: {error}", RuntimeWarning, stacklevel=2)
        self._latest = time.monotonic()

    def delete(self) -> None:
        """Remove the checkpoint."""
        self._path.unlink(missing_ok=True)


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


_CODE = _hash(
    module
    for package in (lapbench, lapbench.methods, lapbench.datasets)
    for module in Path(str(package.__file__)).parent.rglob("*.py")
)
"""Of lapbench's source, when the process read it, and torch's version."""


def _plugins_of(cell: Cell) -> str:
    """Hash of the plug-in files that a cell uses; "" if there are none."""
    used = [("datasets", cell.dataset), ("backbones", cell.backbone), ("methods", cell.method.head)]
    used += [("methods", term) for term in cell.method.terms]
    modules = {discovery.load(kind, part.name).__module__ for kind, part in used}
    others = [sys.modules[name] for name in modules if not name.startswith("lapbench.")]
    return _hash(Path(str(module.__file__)) for module in others) if others else ""
