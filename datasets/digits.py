"""Handwritten digits that come with scikit-learn."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from lapbench.datasets.base.task import Dataset, Task, fixed_test_split
from lapbench.datasets.base.validated import validated


@validated
class Digits(Dataset):
    """1,797 real handwritten digits of 8×8 pixels; no download.

    Pixels in [0, 1]. 360 images are fixed as the test set; 1,077 training and 360 validation
    images are drawn per repetition. All splits keep the proportions of the classes.

    Source: the test part of the UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin and
    C. Kaynak), as packaged by scikit-learn.
    """

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation images being drawn by ``rng``."""
        digits = load_digits()
        x = torch.from_numpy(digits.images).float()[:, None] / 16
        y = torch.from_numpy(digits.target).long()
        return fixed_test_split("digits", x, y, 360, 360, rng, bounds=(0.0, 1.0))
