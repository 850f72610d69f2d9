"""CIFAR-100, small photographs in a hundred classes."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.cifar import cifar_files, read_cifar_images
from lapbench.datasets.files.images import Images, PublishedImages


@validated
class CIFAR100(PublishedImages, Dataset):
    """60,000 photographs of a hundred classes, 32×32 pixels in colour; downloaded if not there.

    Prefer it where many classes with few images each matter: 500 for training and 100 for testing.
    The classes are the fine ones. The files are train and test in cifar-100-python, or the archive
    cifar-100-python.tar.gz; everything else is as with ``cifar10``.

    Args:
        validation, train_size, train_rows: as with ``mnist``.

    Raises:
        ValueError: if fewer than a hundred images were left for training.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009; hashes
    from torchvision.

    """

    training: ClassVar[int] = 50_000
    classes: ClassVar[int] = 100
    data_files: ClassVar[DataFiles] = cifar_files(
        "cifar100",
        "cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
        ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
        {
            "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
            "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
    )

    def parse(self, contents: list[bytes]) -> Images:
        """The images from the contents of both batches."""
        return read_cifar_images(contents, "fine_labels")
