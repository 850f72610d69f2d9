"""MNIST, the handwritten digits."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.idx import idx_files, read_idx_images
from lapbench.datasets.files.images import Images, PublishedImages


@validated
class MNIST(PublishedImages, Dataset):
    """70,000 handwritten digits of 28×28 pixels; downloaded if its files are not there.

    Pixels in [0, 1]. The published 10,000 images are the test set; training and validation images
    are drawn per repetition from the published 60,000, each class in proportion.

    The files are {train,t10k}-{images-idx3,labels-idx1}-ubyte, gzipped or not, in MNIST/raw (the
    layout of torchvision) of the folder in the environment variable LAPBENCH_DATA, else of
    ``lapbench`` in the user's cache folder.

    Args:
        validation: images for validation; with 0 there is no validation set.
        train_size: images for training; by default all that are not for validation.
        train_rows: ``"drawn"``, or ``"first"`` for the first ones as published (the WNLL paper's
            choice), which are the same in every repetition; validation is then drawn from the rest.

    Raises:
        ValueError: if fewer than ten images were left for training.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; hashes of
    the gzipped files from torchvision.

    """

    training: ClassVar[int] = 60_000
    data_files: ClassVar[DataFiles] = idx_files(
        "mnist",
        "MNIST/raw",
        "Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        {
            "train-images-idx3-ubyte": (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "6bbc9ace898e44ae57da46a324031adb",
            ),
            "train-labels-idx1-ubyte": (
                "d53e105ee54ea40749a09fcbcd1e9432",
                "a25bea736e30d166cdddb491f175f624",
            ),
            "t10k-images-idx3-ubyte": (
                "9fb629c4189551a2d022fa330f9573f3",
                "2646ac647ad5339dbf082846283269ea",
            ),
            "t10k-labels-idx1-ubyte": (
                "ec29112dd5afa0611ce80d1b7f02629c",
                "27ae3e4e09519cfbb04c329615203637",
            ),
        },
    )

    def parse(self, contents: list[bytes]) -> Images:
        """The images from the contents of the four files."""
        return read_idx_images(contents)
