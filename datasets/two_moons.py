"""Two interleaved half circles: the toy of the GLL paper."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from sklearn.datasets import make_moons

from lapbench.datasets.base.task import Dataset, Task, fixed_test_split
from lapbench.datasets.base.validated import validated


@validated
class TwoMoons(Dataset):
    """Two interleaved half circles in the plane, two classes.

    A quarter of the samples is the test set, always the same, an eighth is drawn for validation in
    each repetition, the rest is for training.

    Args:
        samples: number of points, both classes together.
        noise: standard deviation of Gaussian noise added to the coordinates.

    Source: GLL paper, section 4.1; ``sklearn.datasets.make_moons``.

    """

    samples: Annotated[int, Field(ge=80)] = 800
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation points being drawn by ``rng``."""
        points, classes = make_moons(self.samples, noise=self.noise, random_state=0)
        x, y = torch.from_numpy(points).float(), torch.from_numpy(classes).long()
        return fixed_test_split("two_moons", x, y, self.samples // 4, self.samples // 8, rng)
