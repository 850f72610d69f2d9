"""What is told of a training, and of the cell that it belongs to, while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from lapbench.training.state import State

Step = Callable[[], float]
"""Makes an optimiser step and returns the loss of its mini-batch."""


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch (0: before training).

    ``curves`` are the training loss, the validation accuracy where there is validation data, and
    the method's own numbers. ``held_out`` are the rows of the training split that the method kept
    out of the mini-batches.
    """

    number: int
    held_out: Tensor
    phase: str = ""
    curves: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingObserver:
    """What observes a training; by default nothing does.

    Attributes:
        step: makes a step on so many samples, to time it say, and returns its loss.
        epoch: called before the first epoch and after every one.
        state: called after every epoch with what makes the state to be saved.

    """

    step: Callable[[Step, int], float] = lambda step, _: step()
    epoch: Callable[[Epoch], None] = lambda _: None
    state: Callable[[Callable[[], State]], None] = lambda _: None


UNOBSERVED = TrainingObserver()


@dataclass(frozen=True)
class Events:
    """What is called for each epoch, each attack by its label, and each epoch of pretraining."""

    epoch: Callable[[Epoch], None] = lambda _: None
    attack: Callable[[str], None] = lambda _: None
    pretraining: Callable[[int, float], None] = lambda *_: None


SILENT = Events()


def events_in_words(tell: Callable[[int | None, str], None]) -> Events:
    """Events that say everything in words, with the epoch in training."""

    def epoch(event: Epoch) -> None:
        if event.number:
            text = f"loss {event.curves['training_loss']:.3g}"
            if "validation_accuracy" in event.curves:
                text += f", validation {event.curves['validation_accuracy']:.1%}"
            tell(event.number, text)

    return Events(
        epoch,
        lambda label: tell(None, f"attack {label}"),
        lambda number, loss: tell(None, f"pretraining, epoch {number}: loss {loss:.3g}"),
    )
