"""Bytes that autograd saves for the backward pass: of training steps and of hypergradients."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class SavedBytes:
    """Bytes saved for the backward pass: those held now, and the most at any moment."""

    now: int = 0
    peak: int = 0


@contextmanager
def count_saved_bytes(ignored: Iterable[Tensor] = ()) -> Iterator[SavedBytes]:
    """Count the bytes of the tensors that autograd saves inside this context.

    Each storage counts once, with all its bytes, from the first tensor on it that is saved until
    the last one is released. Tensors that a custom function keeps as attributes of its context,
    instead of by ``save_for_backward``, are not seen.

    Args:
        ignored: tensors whose storages do not count.

    """
    saved, ignored = SavedBytes(), list(ignored)  # held, so that no address is used again
    holders = Counter(map(_address, ignored))

    def save(tensor: Tensor) -> _Saved:
        address, size = _address(tensor), tensor.untyped_storage().nbytes()
        if not holders[address]:
            saved.now += size
            saved.peak = max(saved.peak, saved.now)
        holders[address] += 1

        def release() -> None:
            holders[address] -= 1
            if not holders[address]:
                saved.now -= size

        # Detached, as a saved output would otherwise keep its own graph alive.
        return _Saved(tensor.detach(), release)

    with torch.autograd.graph.saved_tensors_hooks(save, lambda held: held.tensor):
        yield saved


class _Saved:
    """A tensor in a graph, which says when the graph lets go of it."""

    def __init__(self, tensor: Tensor, release: Callable[[], None]) -> None:
        self.tensor = tensor
        self._release = release

    def __del__(self) -> None:
        self._release()


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
