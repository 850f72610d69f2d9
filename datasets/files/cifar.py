"""The format of CIFAR-10 and CIFAR-100: an archive of pickled batches."""

import pickle

import numpy as np

from lapbench.datasets.base.data_files import DataFiles, Download, File
from lapbench.datasets.files.images import Bytes, Images

_TERMS = "A. Krizhevsky; no licence is stated, the publisher asks to cite the report"


def cifar_files(
    name: str, archive: str, md5: str, mirrors: tuple[str, ...], members: dict[str, str]
) -> DataFiles:
    """The data files of a data set that is an archive of batches, the last one for testing.

    Args:
        name: of the data set.
        archive: its name, which is also the end of its address at each mirror.
        md5: its MD5 sum.
        mirrors: its addresses.
        members: paths of the batches in it, with their MD5 sums.

    """
    files = tuple(File((path,), content) for path, content in members.items())
    return DataFiles(name, _TERMS, (Download(archive, md5, mirrors, files),))


def read_cifar_images(contents: list[bytes], labels: str) -> Images:
    """RGB images (n, 3, 32, 32) and their classes from batches, whose hashes are right.

    Args:
        contents: of the batches, each a pickled dictionary.
        labels: its key for the classes.

    """
    # They were pickled by Python 2.
    batches = [pickle.loads(content, encoding="latin1") for content in contents]
    images = [batch["data"].reshape(-1, 3, 32, 32) for batch in batches]
    classes: list[Bytes] = [np.array(batch[labels], np.uint8) for batch in batches]
    return Images(
        np.concatenate(images[:-1]), np.concatenate(classes[:-1]), images[-1], classes[-1]
    )
