"""Fashion-MNIST, articles of clothing."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.idx import idx_files, read_idx_images
from lapbench.datasets.files.images import Images, PublishedImages


@validated
class FashionMNIST(PublishedImages, Dataset):
    """70,000 articles of clothing in ten classes, 28×28 pixels; downloaded if not there.

    Prefer it to MNIST where that is too easy: its sizes and its format are the same. The files are
    those of ``mnist`` by name, in FashionMNIST/raw.

    Args:
        validation, train_size, train_rows: as with ``mnist``.

    Raises:
        ValueError: if fewer than ten images were left for training.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", arXiv:1708.07747; hashes of the gzipped files from torchvision.

    """

    training: ClassVar[int] = 60_000
    data_files: ClassVar[DataFiles] = idx_files(
        "fashion_mnist",
        "FashionMNIST/raw",
        "H. Xiao, K. Rasul, R. Vollgraf, Zalando SE; MIT",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte": (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            ),
            "train-labels-idx1-ubyte": (
                "25c81989df183df01b3e8a0aad5dffbe",
                "9018921c3c673c538a1fc5bad174d6f9",
            ),
            "t10k-images-idx3-ubyte": (
                "bef4ecab320f06d8554ea6380940ec79",
                "8181f5470baa50b63fa0f6fddb340f0a",
            ),
            "t10k-labels-idx1-ubyte": (
                "bb300cfdad3c16e7a12a480ee83cd310",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
        },
    )

    def parse(self, contents: list[bytes]) -> Images:
        """The images from the contents of the four files."""
        return read_idx_images(contents)
