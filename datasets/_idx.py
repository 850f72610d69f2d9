"""The idx format, in which MNIST and its relatives are published."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapbench.datasets._files import DataError


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes in an idx file, which is gzipped if its name ends in .gz.

    The file is 0, 0, 8 (unsigned bytes), the number of dimensions, their sizes as 32-bit integers,
    most significant byte first, and the array in row-major order.

    Args:
        path: of the file.
        dimensions: how many the array must have.

    Raises:
        DataError: if the file is not one of this format, cut off, or too long.
        OSError: if it cannot be read.

    """
    content = _content(path)
    expected = bytes([0, 0, 8, dimensions])
    header = 4 + 4 * dimensions
    if content[:4] != expected or len(content) < header:
        raise refused(
            path,
            f"begins with the bytes {content[:4].hex(' ') or '(none)'} of {len(content)}; accepted "
            f"are {expected.hex(' ')}, of an idx file with {dimensions} dimension(s)",
        )
    # Integers of Python, because the product of sizes in a damaged header may exceed 64 bits.
    shape = [int(size) for size in np.frombuffer(content[4:header], ">u4")]
    if len(content) != header + math.prod(shape):
        raise refused(
            path,
            f"holds {len(content) - header} bytes of data, but its header announces "
            f"{' × '.join(map(str, shape))} = {math.prod(shape)}",
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def refused(path: Path, why: str) -> DataError:
    """Return the error that a file is not what it should be."""
    return DataError(f"{path} {why}; put the original file there")


def _content(path: Path) -> Any:
    if path.suffix != ".gz":
        return path.read_bytes()
    with path.open("rb") as compressed:
        try:
            return gzip.GzipFile(fileobj=compressed).read()
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise refused(path, f"is no whole gzip file ({error})") from error
