"""Random streams: one for every purpose, independent of what was drawn before."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """The random streams of one repetition on one data set.

    A stream depends on nothing but its name, so the draws of two methods are paired, and a resumed
    run continues with the same numbers.

    Args:
        dataset: name of the data set.
        repetition: 0, 1, …

    """

    dataset: str
    repetition: int

    def stream(self, purpose: str, epoch: int = 0) -> np.random.Generator:
        """A new generator for a purpose ("split", "order", …) in an epoch."""
        return np.random.default_rng(self._sequence(purpose, epoch))

    def integer(self, purpose: str, epoch: int = 0) -> int:
        """A seed in [0, 2^63) for libraries that take an integer."""
        return int(self._sequence(purpose, epoch).generate_state(1, np.uint64)[0] >> 1)

    def _sequence(self, purpose: str, epoch: int) -> np.random.SeedSequence:
        name = json.dumps([self.dataset, self.repetition, purpose, epoch])
        return np.random.SeedSequence(int(hashlib.sha256(name.encode()).hexdigest(), 16))
