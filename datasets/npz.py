"""Your own arrays, in a file of NumPy."""

import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Annotated
from zipfile import BadZipFile

import numpy as np
from pydantic import Field

from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.files import DataError, MissingDataError, expanded
from lapbench.datasets.files.own import Arrays, own_task

_NAMES = ("x_train", "y_train", "x_test", "y_test")
# What NumPy and zipfile raise for damaged files, encrypted ones and impossible sizes.
_UNREADABLE = (
    TypeError,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
    BadZipFile,
    TokenError,
    zlib.error,
)


@validated
class Npz(Dataset):
    """Your own arrays x_train, y_train, x_test and y_test, in an .npz file.

    Images are (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3 channels, which come first
    where both could be meant. Those of uint8 are divided by 255; floating-point ones stay as they
    are, and so do floating-point vectors (n, d). Images with all pixels in [0, 1], training and
    test, have these bounds, within which attacks stay; other inputs have none. Classes are integers
    0..c−1, each in y_train.

    x_test is the test set; training and validation samples are drawn per repetition from x_train,
    each class in proportion. ``np.savez("my.npz", x_train=…, y_train=…, x_test=…, y_test=…)``
    writes such a file.

    Args:
        path: of the file; from the folder in which lapbench runs, if it is not absolute.
        validation: samples for validation; with 0 there is no validation set.
        train_size: samples for training; by default all that are not for validation.

    """

    path: Annotated[str, Field(min_length=1)]
    validation: Annotated[int, Field(ge=0)] = 0
    train_size: Annotated[int, Field(ge=1)] | None = None

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation samples being drawn by ``rng``.

        Raises:
            DataError: if the file is not there or not as above; nothing in it is ever executed.

        """
        path = expanded(self.path)
        if not path.is_file():
            raise MissingDataError(
                f"npz: {path.absolute()} is not there; must be the path of an .npz file"
            )
        return own_task("npz", _arrays(path), self.validation, self.train_size, rng)


def _arrays(path: Path) -> Arrays:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = [file[name] for name in _NAMES]
            for name, array in zip(_NAMES, arrays, strict=True):
                if not isinstance(array, np.ndarray):
                    raise TypeError(f"{name} is not an array")
            return Arrays(str(path), *arrays)
    except KeyError as error:
        why = f"has no array of the name {error.args[0].split()[0]}"
    except _UNREADABLE as error:
        why = f"cannot be read ({error})"
    raise DataError(
        f"{path} {why}; must be what np.savez writes, with arrays {', '.join(_NAMES)} of numbers"
    )
