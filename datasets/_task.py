"""Tasks: what every data set gives to every method."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Samples x (n, …) in float32 and their classes y (n,) in int64; −1 marks an unknown class."""

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if self.y.dtype != torch.int64 or self.x.shape[:1] != self.y.shape:
            raise ValueError(
                f"split: received x {tuple(self.x.shape)} and y {tuple(self.y.shape)} of "
                f"{self.y.dtype}; accepted are (n, ...) and (n,) of torch.int64"
            )

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: str) -> "Split":
        """Return the split on a device."""
        return Split(self.x.to(device), self.y.to(device))


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: splits, number of classes, and the range of valid inputs.

    Attributes:
        name: the data set's name.
        train, validation, test: disjoint splits; the test split is the same in every repetition.
        num_classes: classes are 0..num_classes − 1.
        bounds: range of every input value, (0, 1) for images; None where inputs have no range.

    Raises:
        ValueError: if a class is out of range.

    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            y = getattr(self, split).y
            wrong = (y < -1) | (y >= self.num_classes)
            if wrong.any():
                row = int(wrong.nonzero()[0, 0])
                raise ValueError(
                    f"task {self.name}: {split} label {int(y[row])} in row {row}; accepted are "
                    f"0..{self.num_classes - 1}, and -1 for unknown"
                )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (channels, height, width) for images, (d,) for vectors."""
        return tuple(self.train.x.shape[1:])

    def to(self, device: str) -> "Task":
        """Return the task on a device."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )


class Dataset(ABC):
    """A data set: a frozen pydantic dataclass of its options, in a file of its name."""

    @abstractmethod
    def load(self, rng: np.random.Generator) -> Task:
        """Return the task, training and validation samples being drawn by ``rng``."""


def fixed_test_split(
    name: str,
    x: Tensor,
    y: Tensor,
    test: int,
    validation: int,
    rng: np.random.Generator,
    bounds: tuple[float, float] | None = None,
) -> Task:
    """Split samples by class proportions: the test set always the same, validation by ``rng``."""
    rest, test_rows = train_test_split(
        np.arange(len(y)), test_size=test, stratify=y.numpy(), random_state=0
    )
    train_rows, validation_rows = train_test_split(
        rest,
        test_size=validation,
        stratify=y[rest].numpy(),
        random_state=int(rng.integers(2**31)),
    )
    return Task(
        name,
        train=Split(x[train_rows], y[train_rows]),
        validation=Split(x[validation_rows], y[validation_rows]),
        test=Split(x[test_rows], y[test_rows]),
        num_classes=int(y.max()) + 1,
        bounds=bounds,
    )
