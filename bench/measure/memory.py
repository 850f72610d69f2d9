"""Memory of a training step, beside that of softmax."""

import ctypes
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from lapbench.datasets.base.task import Task
from lapbench.measure.probe import distinct_phases, probe_phase
from lapbench.methods.base.capabilities import Phase
from lapbench.methods.base.model import Model
from lapbench.suite.cells import Cell

_FORGET_PEAK = Path("/proc/self/clear_refs")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def step_memory(cell: Cell, task: Task) -> tuple[int | None, int | None]:
    """Return the bytes that a training step needs, and those of softmax in the same budget.

    They are the most that a step holds above what was held before it, so with gradients and without
    parameters and the state of the optimiser. Of all phases that which needs the most counts. The
    step has a full batch, the terms of the last epoch, and the attack of adversarial training;
    softmax has the same backbone and no attack. Both are new models, which nothing else uses, after
    one step that is not counted.

    On a GPU it is the memory of tensors there. On a CPU it is all memory of the process, which
    needs Linux, where a process can forget its peak, and glibc, which else keeps what was freed for
    later. Repeats on digits, of 9 to 31 MB, lay within 0.8 MB of each other, in one process and in
    several; below 1 MB it says little.

    None, None where nothing is trained, or memory cannot be measured; a failure is a warning.
    """
    if cell.device == "cpu" and not is_measurable():
        return None, None
    try:
        # A thread has its own heap, without the holes of earlier steps, which hide what fills them.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_measure, cell, task).result()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"the memory of a step was not measured: {reason}", stacklevel=2)
        return None, None


def _measure(cell: Cell, task: Task) -> tuple[int | None, int | None]:
    with warnings.catch_warnings(), _giving_back_freed_memory():
        # Training has given the warnings of its steps already.
        warnings.simplefilter("ignore")
        own = _phase_peaks(cell, task)
        softmax = replace(cell.with_softmax(), pgd=None)
        return (max(own), max(_phase_peaks(softmax, task))) if own else (None, None)


def _phase_peaks(cell: Cell, task: Task) -> list[int]:
    model = cell.build_model(task).to(cell.device)
    phases = distinct_phases(model, cell.budget)
    return [_phase_peak(cell, task, model, phase) for phase, *_ in phases]


def _phase_peak(cell: Cell, task: Task, model: Model, phase: Phase) -> int:
    with probe_phase(cell, task, model, phase) as probe:
        batch = probe.make_batch()
        probe.step(batch)
        probe.optimizer.zero_grad()
        return peak_bytes(lambda: probe.step(batch), cell.device)


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Return the most bytes that a call holds above what was held before it."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    ctypes.CDLL(None).malloc_trim(0)
    _FORGET_PEAK.write_text("5", encoding="ascii")
    before = _peak_of_process()
    call()
    # The kernel's count is not exact: a step that needs nothing may seem to need less.
    return max(_peak_of_process() - before, 0)


def is_measurable() -> bool:
    """Whether the memory of this process can be measured."""
    return _is_glibc() and _FORGET_PEAK.exists()


def keep_freed_memory() -> None:
    """Let malloc keep what is freed for what follows, in blocks of up to 32 MiB.

    By itself it learns to, from the blocks that it sees: then a step would be faster after other
    cells in the same process than in a new one.
    """
    _set_malloc(2**25)


@contextmanager
def _giving_back_freed_memory() -> Iterator[None]:
    _set_malloc(2**16)
    try:
        yield
    finally:
        keep_freed_memory()


def _set_malloc(kept: int) -> None:
    """Choose the bytes from which on a freed block goes back to the system; twice that in all."""
    if _is_glibc():
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, kept)
        libc.mallopt(_TRIM_THRESHOLD, 2 * kept)


def _is_glibc() -> bool:
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def _peak_of_process() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])
