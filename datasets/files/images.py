"""Images as published: what is the same in all such data sets."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.draws import draw_rows
from lapbench.datasets.base.task import Dataset, Split, Task
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.download import contents

Bytes = NDArray[np.uint8]


class Images(NamedTuple):
    """Images (n, c, h, w) and their classes (n,) for training, and the same for testing."""

    images: Bytes
    labels: Bytes
    test_images: Bytes
    test_labels: Bytes


@validated
class PublishedImages(Dataset):
    """Images with a published test set, in files of known content.

    Pixels in [0, 1]. Training and validation images are taken from the published training images,
    per repetition and each class in proportion, or in the published order.

    Attributes:
        data_files: the files, which are downloaded if they are not there.
        training: how many training images are published.
        classes: how many there are.

    Args:
        validation: images for validation; with 0 there is no validation set.
        train_size: images for training; by default all that are not for validation.
        train_rows: ``"drawn"``, or ``"first"`` for the first ones as published, which are the same
            in every repetition; validation images are then drawn from the rest.

    Raises:
        ValueError: if there are fewer images, or fewer for training than classes.

    """

    data_files: ClassVar[DataFiles]
    training: ClassVar[int]
    classes: ClassVar[int] = 10

    validation: Annotated[int, Field(ge=0)] = 5_000
    train_size: Annotated[int, Field(ge=1)] | None = None
    train_rows: Literal["drawn", "first"] = "drawn"

    def __post_init__(self) -> None:
        least = self.classes if self.train_size is None else self.train_size
        if least < self.classes:
            raise ValueError(
                f"train_size: received {least}; must be {self.classes} or more, one for each class"
            )
        if self.validation + least > self.training:
            raise ValueError(
                f"validation = {self.validation} leaves {self.training - self.validation} of "
                f"{self.training} images for training, which needs {least}; lower one of "
                "validation and train_size"
            )

    @abstractmethod
    def parse(self, contents: list[bytes]) -> Images:
        """The images from the contents of the files, which are the published ones."""

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation images being drawn by ``rng``.

        Raises:
            DataError: if files are missing and cannot be downloaded, or not the published ones.

        """
        images, labels, test_images, test_labels = self.parse(contents(self.data_files))
        train, validation = draw_rows(
            labels, self.validation, self.train_size, rng, self.train_rows
        )
        return Task(
            self.data_files.name,
            train=image_split(images[train], labels[train]),
            validation=image_split(images[validation], labels[validation]),
            test=image_split(test_images, test_labels),
            num_classes=self.classes,
            bounds=(0.0, 1.0),
        )


def image_split(images: Bytes, labels: NDArray[np.integer[Any]]) -> Split:
    """Images (n, c, h, w) in bytes as a split of x in [0, 1]."""
    x = torch.from_numpy(images.astype(np.float32, order="C")).div_(255)
    return Split(x, torch.from_numpy(labels.astype(np.int64)))
