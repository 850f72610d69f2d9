"""Where the files of data sets are."""

import os
from pathlib import Path


class DataError(OSError):
    """A file of a data set cannot be used; the message says which, and what to do."""


class MissingDataError(DataError):
    """Files of a data set are not there; the message says where they were looked for."""


def data_folder() -> Path:
    """Return the folder of all data sets.

    It is that in the environment variable LAPBENCH_DATA; without it, ``lapbench`` in the user's
    cache folder, which is $XDG_CACHE_HOME or ~/.cache.
    """
    chosen = os.environ.get("LAPBENCH_DATA")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lapbench"


def find_files(dataset: str, names: list[str]) -> list[Path]:
    """Return the paths of a data set's files, each as it is or, failing that, gzipped.

    Args:
        dataset: its name, for the message.
        names: paths below the data folder, without ``.gz``.

    Raises:
        MissingDataError: naming every file that is not there, and every place looked at.

    """
    folder = data_folder()
    found, missing = [], []
    for name in names:
        places = [folder / name, folder / f"{name}.gz"]
        there = [place for place in places if place.is_file()]
        found += there[:1]
        if not there:
            missing.append(f"{places[0]}, nor {places[1]}")
    if missing:
        given = os.environ.get("LAPBENCH_DATA")
        raise MissingDataError(
            "\n  ".join(
                [f"{dataset}: {len(missing)} of {len(names)} files are not there:", *missing]
            )
            + f"\naccepted are the original files, gzipped or not; put them there, or set the "
            f"environment variable LAPBENCH_DATA (now {given or 'not set'}) to the folder that "
            f"has {names[0]}"
        )
    return found
