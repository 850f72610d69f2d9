"""What is told of a cell while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

from lapbench.train import Epoch


@dataclass(frozen=True)
class Watch:
    """What is called for each epoch, each attack by its label, and each epoch of pretraining."""

    epoch: Callable[[Epoch], None] = lambda _: None
    attack: Callable[[str], None] = lambda _: None
    pretraining: Callable[[int, float], None] = lambda *_: None


NOBODY = Watch()


def watch_with(tell: Callable[[int | None, str], None]) -> Watch:
    """Return a watch that says everything in words, with the epoch in training."""

    def epoch(found: Epoch) -> None:
        if found.number:
            text = f"loss {found.curves['training_loss']:.3g}"
            if "validation_accuracy" in found.curves:
                text += f", validation {found.curves['validation_accuracy']:.1%}"
            tell(found.number, text)

    return Watch(
        epoch,
        lambda label: tell(None, f"attack {label}"),
        lambda number, loss: tell(None, f"pretraining, epoch {number}: loss {loss:.3g}"),
    )
