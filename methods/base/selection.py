"""Choosing among the iterates of a method by validation accuracy."""

from collections.abc import Callable

from torch import Tensor

from lapbench.datasets.base.task import Split

State = dict[str, Tensor]


class Selection:
    """Keeps the state of the highest accuracy on validation samples, the first of several.

    Attributes:
        rows: the validation samples of known class.
        best: their highest accuracy so far.
        state: what belongs to it; None before anything was seen, or without validation samples.

    """

    def __init__(self, validation: Split) -> None:
        self.rows = (validation.y >= 0).nonzero()[:, 0]
        self._labels = validation.y[self.rows]
        self.best = -1.0
        self.state: State | None = None

    def observe(self, scores: Tensor, state: Callable[[], State]) -> None:
        """Take notice of scores (v, c) at ``rows`` and of the state that they came from."""
        right = scores.argmax(dim=1) == self._labels
        if len(right) and (accuracy := float(right.double().mean())) > self.best:
            self.best = accuracy
            self.state = {name: tensor.detach().clone() for name, tensor in state().items()}
