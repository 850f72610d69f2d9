"""MNIST, the handwritten digits."""

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from lapbench.datasets._files import find_files
from lapbench.datasets._idx import read_idx, refused
from lapbench.datasets._published import draw_rows
from lapbench.datasets._task import Dataset, Split, Task

_PUBLISHED = {"train": 60_000, "t10k": 10_000}
_SIDE = 28
_CLASSES = 10

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class MNIST(Dataset):
    """70,000 handwritten digits of 28×28 pixels; its files must be there.

    Pixels in [0, 1]. The published 10,000 images are the test set; training and validation images
    are drawn per repetition from the published 60,000, each class in proportion.

    The files are {train,t10k}-{images-idx3,labels-idx1}-ubyte, gzipped or not, in MNIST/raw (the
    layout of torchvision) of the folder in the environment variable LAPBENCH_DATA, else of
    ``lapbench`` in the user's cache folder.

    Args:
        validation: images for validation; with 0 there is no validation set.
        train_size: images for training; by default all that are not for validation.

    Raises:
        ValueError: if fewer than ten images were left for training.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".

    """

    validation: Annotated[int, Field(ge=0)] = 5_000
    train_size: Annotated[int, Field(ge=_CLASSES)] | None = None

    def __post_init__(self) -> None:
        least, there = self.train_size or _CLASSES, _PUBLISHED["train"]
        if self.validation + least > there:
            raise ValueError(
                f"validation = {self.validation} leaves {there - self.validation} of {there} "
                f"images for training, which needs {least}; lower one of validation and train_size"
            )

    def load(self, rng: np.random.Generator) -> Task:
        """Return the task, training and validation images being drawn by ``rng``.

        Raises:
            DataError: if files are missing or not those of MNIST.

        """
        parts = [
            f"MNIST/raw/{part}-{kind}-ubyte"
            for part in _PUBLISHED
            for kind in ("images-idx3", "labels-idx1")
        ]
        paths = find_files("MNIST", parts)
        arrays = [read_idx(path, 1 if "labels" in path.name else 3) for path in paths]
        for path, array in zip(paths, arrays, strict=True):
            count = _PUBLISHED[path.name.partition("-")[0]]
            shape = (count, _SIDE, _SIDE)[: array.ndim]
            if array.shape != shape:
                raise refused(path, f"holds an array of shape {array.shape}; accepted is {shape}")
            if array.ndim == 1 and array.max() >= _CLASSES:
                raise refused(path, f"holds the label {array.max()}; accepted are 0..9")
        images, labels, test_images, test_labels = arrays
        train, validation = draw_rows(labels, self.validation, self.train_size, rng)
        return Task(
            "mnist",
            train=_split(images[train], labels[train]),
            validation=_split(images[validation], labels[validation]),
            test=_split(test_images, test_labels),
            num_classes=_CLASSES,
            bounds=(0.0, 1.0),
        )


def _split(images: Bytes, labels: Bytes) -> Split:
    """Return images (n, 28, 28) in bytes as a split of x (n, 1, 28, 28) in [0, 1]."""
    x = torch.from_numpy(images.astype(np.float32))[:, None] / 255
    return Split(x, torch.from_numpy(labels.astype(np.int64)))
