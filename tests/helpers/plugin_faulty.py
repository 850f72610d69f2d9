"""Methods that harm the process, machine or run around them; a plug-in that `make_runs` installs.

Each is softmax, but leaves a line in a log after every epoch and then does something, until all is
mended.
"""

import ctypes
import os
import signal
import sys
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from threadpoolctl import threadpool_info
from torch import nn

from lapbench.datasets.base.task import Task
from lapbench.methods.base.capabilities import HasNumbers
from lapbench.methods.base.method import Head
from lapbench.methods.base.model import GradientKind, Model
from lapbench.methods.softmax import LinearModel
from lapbench.results import checkpoint

PATIENCE = 120.0
"""Seconds that are for ever in a test."""


class Faulty(Head):
    """Softmax with a checkpoint after every epoch, and an act before it."""

    gradient_kind: ClassVar[GradientKind] = "autograd"

    def build(self, backbone: nn.Module, task: Task) -> Model:
        checkpoint.SECONDS = 0.0
        return _Tracked(self, backbone, task)

    def track(self, _: Task) -> dict[str, float]:
        pools = [pool["num_threads"] for pool in threadpool_info()]
        with (folder() / "log").open("a") as log:
            log.write(f"{type(self).__name__.lower()} {max(torch.get_num_threads(), *pools)}\n")
        if not mended():
            self.act()
        return {}

    def epochs(self) -> int:
        """Epochs in the log, of all processes."""
        words = (folder() / "log").read_text().split()
        return words.count(type(self).__name__.lower())

    @abstractmethod
    def act(self) -> None: ...


class _Tracked(LinearModel, HasNumbers):
    def __init__(self, head: Faulty, backbone: nn.Module, task: Task) -> None:
        super().__init__(backbone, task.num_classes)
        self.head = head

    def track(self, task: Task) -> dict[str, float]:
        return self.head.track(task)


def folder() -> Path:
    return Path(os.environ["FAULTY_FOLDER"])


def mended() -> bool:
    return (folder() / "mended").exists()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait; not for ever, so that a test which forgets a process fails."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("nobody came")
        time.sleep(0.02)


@dataclass(frozen=True)
class Dying(Faulty):
    def act(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Mortal(Faulty):
    """Dies once."""

    def act(self) -> None:
        if self.epochs() == 1:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Parricide(Faulty):
    """Kills, once, what started its process."""

    def act(self) -> None:
        if self.epochs() == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            wait_until(lambda: False)


@dataclass(frozen=True)
class Leaving(Faulty):
    def act(self) -> None:
        sys.exit(3)


@dataclass(frozen=True)
class Stuck(Faulty):
    """Stays in C, where no other thread of Python runs and no signal is handled."""

    def act(self) -> None:
        ctypes.PyDLL(None).sleep(int(PATIENCE))


@dataclass(frozen=True)
class Greedy(Faulty):
    def act(self) -> None:
        kept = []
        while True:
            kept.append(torch.ones(10**6))


@dataclass(frozen=True)
class Halting(Faulty):
    """Waits after its second epoch."""

    def act(self) -> None:
        wait_until(lambda: self.epochs() < 2 or mended())


@dataclass(frozen=True)
class Mending(Faulty):
    """Lets all that wait go on."""

    def act(self) -> None:
        (folder() / "mended").touch()


@dataclass(frozen=True)
class Filling(Faulty):
    """Fills the disk of the results."""

    def act(self) -> None:
        with (folder() / "disk" / "filler").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                pass
