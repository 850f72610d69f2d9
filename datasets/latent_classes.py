"""Overlapping classes of few latent dimensions, as many samples as you like."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from lapbench.datasets.base.task import Dataset, Task, fixed_test_split
from lapbench.datasets.base.validated import validated

_CLASSES = 10
_LATENT = 16
_FEATURES = 128
_NOISE = 0.1
_HELD_OUT = 200


@validated
class LatentClasses(Dataset):
    """Ten overlapping classes in 16 latent dimensions, seen in 128; for measuring cost against n.

    Prefer it where only the number of samples may change. It resembles features halfway through
    training: about one in seven of the 25 nearest neighbours is of another class (18 % at 1,100
    samples, 14 % at 5,000, 12 % at 20,000). With class centres c and z standard normal,

        x = a/‖a‖,  a = (c_y + z) M/4 + 0.1 e,

    where M (16 × 128) and the noise e are standard normal too. Validation and test have 200 samples
    each. The test set is always the same; validation is drawn in each repetition.

    Args:
        samples: for training.

    """

    samples: Annotated[int, Field(ge=100)] = 1100

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation samples being drawn by ``rng``."""
        draw = np.random.default_rng(0).standard_normal
        centers, mixing = draw((_CLASSES, _LATENT)), draw((_LATENT, _FEATURES))
        classes = np.arange(self.samples + 2 * _HELD_OUT) % _CLASSES
        latent = centers[classes] + draw((len(classes), _LATENT))
        seen = latent @ mixing / np.sqrt(_LATENT) + _NOISE * draw((len(classes), _FEATURES))
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        x, y = torch.from_numpy(seen).float(), torch.from_numpy(classes).long()
        return fixed_test_split("latent_classes", x, y, _HELD_OUT, _HELD_OUT, rng)
