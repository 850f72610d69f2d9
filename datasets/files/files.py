"""Where the files of data sets are, and what is in them."""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

from lapbench.datasets.base.data_files import File


class DataError(OSError):
    """A file of a data set cannot be used; the message says which, and what to do."""


class MissingDataError(DataError):
    """Files of a data set are not there; the message says where they were looked for."""


def data_folder() -> Path:
    """The folder of all data sets.

    It is that in the environment variable LAPBENCH_DATA; without it, ``lapbench`` in the user's
    cache folder, which is $XDG_CACHE_HOME or ~/.cache.
    """
    chosen = os.environ.get("LAPBENCH_DATA")
    if chosen:
        return expanded(chosen)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lapbench"


def expanded(path: str) -> Path:
    """A path in which ~ is the user's home, or say that there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"{path}: there is no such home directory; correct it, or give a path without ~"
        ) from error


def describe_variable() -> str:
    """The name of the variable that sets the data folder, with its value."""
    return f"LAPBENCH_DATA (now {os.environ.get('LAPBENCH_DATA') or 'not set'})"


def find(file: File) -> Path | None:
    """The first place where a file is, or None."""
    places = (data_folder() / place for place in file.places)
    return next((place for place in places if place.is_file()), None)


def read(dataset: str, file: File) -> bytes:
    """The content of a file, which is the published one, not gzipped.

    Args:
        dataset: its name, for messages.
        file: what to read.

    Raises:
        MissingDataError: if it is not there.
        DataError: if it holds something else; nothing has interpreted it then.
        OSError: if it cannot be read.

    """
    path = find(file)
    if path is None:
        raise MissingDataError(
            f"{dataset}: {data_folder() / file.places[0]} is not there; "
            f"`lapbench data fetch {dataset}` downloads it"
        )
    content = _content(path)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if file.md5 not in (None, digest):
        raise DataError(
            f"{path} is not the published file: its content has the MD5 sum {digest}; must be "
            f"{file.md5}; put the original file there, or remove this one, and "
            f"`lapbench data fetch {dataset}` downloads it"
        )
    return content


def refused(path: Path, why: str) -> DataError:
    """The error that a file is not what it should be."""
    return DataError(f"{path} {why}; put the original file there")


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise refused(path, f"is not a complete gzip file ({error})") from error
