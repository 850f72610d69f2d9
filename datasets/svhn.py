"""SVHN, house numbers from street views."""

from io import BytesIO
from typing import ClassVar

import numpy as np
from scipy.io import loadmat

from lapbench.datasets.base.data_files import DataFiles, Download, File
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.images import Bytes, Images, PublishedImages

_MIRROR = "http://ufldl.stanford.edu/housenumbers/"
_HASHES = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


@validated
class SVHN(PublishedImages, Dataset):
    """99,289 digits of house numbers, 32×32 pixels in colour; downloaded if not there.

    Prefer it for digits as they are found: in colour, with neighbours at the sides, and with
    classes of different size. Pixels in [0, 1]. The published 26,032 images are the test set;
    training and validation images are drawn per repetition from the published 73,257, each class in
    proportion. The published additional images are not used.

    The files are train_32x32.mat and test_32x32.mat, in the data folder itself (the layout of
    torchvision) or in svhn below it. The class of a digit is the digit; in the files that of 0 is
    10.

    Args:
        validation, train_size, train_rows: as with ``mnist``.

    Raises:
        ValueError: if fewer than ten images were left for training.

    Source: Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng, "Reading digits in natural
    images with unsupervised feature learning", NIPS workshop 2011; hashes from torchvision.

    """

    training: ClassVar[int] = 73_257
    data_files: ClassVar[DataFiles] = DataFiles(
        "svhn",
        "Y. Netzer and others, Stanford University; for non-commercial use only",
        tuple(
            Download(name, md5, (f"{_MIRROR}{name}",), (File((name, f"svhn/{name}"), md5),))
            for name, md5 in _HASHES.items()
        ),
    )

    def parse(self, contents: list[bytes]) -> Images:
        """The images from the contents of both files."""
        train, test = map(_read, contents)
        return Images(*train, *test)


def _read(content: bytes) -> tuple[Bytes, Bytes]:
    """Images (n, 3, 32, 32) and their digits from a file with X (32, 32, 3, n) and y."""
    variables = loadmat(BytesIO(content))
    images = np.ascontiguousarray(variables["X"].transpose(3, 2, 0, 1))
    return images, variables["y"][:, 0] % 10
