"""A candidate of an attack as the harness evaluated it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from lapbench.attacks.base.attack import Level
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split


@dataclass(frozen=True, eq=False)
class EvaluatedCandidate:
    """A candidate within ball and bounds, with the prediction of its batch.

    Attributes:
        level: how strong the attack was.
        batch: the clean samples and their classes.
        x: (n, …) what the attack made of them.
        log_probabilities: (n, c).
        numbers: of each sample, by the attack.
        changed_model: whether the prediction is that of a changed model or graph.

    """

    level: Level
    batch: Split
    x: Tensor
    log_probabilities: Tensor
    numbers: dict[str, Tensor]
    changed_model: bool = False

    @classmethod
    @torch.no_grad()
    def unattacked(cls, target: Target, batch: Split) -> "EvaluatedCandidate":
        """A batch as it is."""
        return cls(Level(), batch, batch.x, target.log_probabilities(batch.x), {})

    def right(self) -> Tensor:
        """Whether each sample of known class (n,) has it as the most probable one.

        Ties go to the lower class.
        """
        known = self.batch.y >= 0
        return (self.log_probabilities.argmax(dim=1) == self.batch.y)[known]

    def distance(self) -> Tensor:
        """‖x' − x‖₂ (n,) of the samples of known class."""
        moved: Tensor = vector_norm((self.x - self.batch.x).flatten(1).double(), dim=1)
        return moved[self.batch.y >= 0]
