"""The idx format, in which MNIST and its relatives are published."""

import numpy as np

from lapbench.datasets.base.data_files import DataFiles, Download, File
from lapbench.datasets.files.images import Bytes, Images


def idx_files(
    name: str, folder: str, terms: str, mirrors: tuple[str, ...], hashes: dict[str, tuple[str, str]]
) -> DataFiles:
    """The files of a data set that are in the idx format, each gzipped by itself.

    Args:
        name: of the data set.
        folder: of its files, below the data folder.
        terms: as those of :class:`DataFiles`.
        mirrors: addresses of folders, with a slash at the end.
        hashes: names of files, without ``.gz``, with the MD5 sums of the gzipped file and of its
            content; in the order training images, training labels, test images, test labels.

    """
    downloads = [
        Download(
            f"{folder}/{file}.gz",
            zipped,
            tuple(f"{mirror}{file}.gz" for mirror in mirrors),
            (File((f"{folder}/{file}", f"{folder}/{file}.gz"), content),),
        )
        for file, (zipped, content) in hashes.items()
    ]
    return DataFiles(name, terms, tuple(downloads))


def read_idx_images(contents: list[bytes]) -> Images:
    """Grey images and their classes from the files of :func:`idx_files`."""
    images, labels, test_images, test_labels = map(_array, contents)
    return Images(images[:, None], labels, test_images[:, None], test_labels)


def _array(content: bytes) -> Bytes:
    """The array of unsigned bytes in an idx file, whose hash is known to be right.

    The file is 0, 0, 8 (unsigned bytes), the number of dimensions, their sizes as 32-bit integers,
    most significant byte first, and the array in row-major order.
    """
    header = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:header], ">u4")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
