"""How loops are compiled for processors."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


def compiled(*fastmath: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function when it is first called, and keep it for later processes if possible.

    Args:
        fastmath: liberties with floating-point arithmetic, by their names in LLVM.

    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(cache=True, fastmath=set(fastmath))(function)
        except RuntimeError:  # No folder for the cache can be written.
            return njit(fastmath=set(fastmath))(function)

    return decorate
