"""Tasks from a user's own arrays: what they may be, and what is said of others."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lapbench.datasets.base.draws import draw_rows
from lapbench.datasets.base.task import Split, Task
from lapbench.datasets.files.files import DataError
from lapbench.datasets.files.images import image_split

_CHANNELS = (1, 3)
_INPUTS = (
    "uint8 or floating-point images (n, h, w), (n, h, w, c) or (n, c, h, w) with 1 or 3 channels c "
    "and floating-point vectors (n, d), none of whose sizes is 0"
)

Array = NDArray[Any]


class Arrays(NamedTuple):
    """Inputs and classes for training and testing, and what they were read from."""

    place: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def own_task(
    name: str, arrays: Arrays, validation: int, train_size: int | None, rng: np.random.Generator
) -> Task:
    """The task of a user's arrays, as :class:`lapbench.datasets.npz.Npz` describes it.

    Args:
        name: of the data set.
        arrays: what the user has.
        validation: training samples that are drawn for validation.
        train_size: how many of the others are drawn for training; None for all of them.
        rng: what draws.

    Raises:
        DataError: if the arrays cannot be used; it names the first thing that is wrong.

    """
    x_train, x_test = (_inputs(arrays, part) for part in ("x_train", "x_test"))
    if (x_train.shape[1:], x_train.dtype) != (x_test.shape[1:], x_test.dtype):
        raise DataError(
            f"{arrays.place}: x_test is {arrays.x_test.shape} of {x_test.dtype}, x_train "
            f"{arrays.x_train.shape} of {x_train.dtype}; must be of the same shape "
            "and type"
        )
    for part in ("train", "test"):
        _check_labels(arrays, part)
    there, classes = len(x_train), len(np.unique(arrays.y_train))
    least = classes if train_size is None else train_size
    if classes < 2 or least < classes:
        raise DataError(
            f"{arrays.place}: y_train has {classes} class(es), and train_size is {train_size}; "
            "must be two classes or more, and a training sample for each"
        )
    if validation + least > there:
        raise DataError(
            f"{arrays.place}: validation = {validation} leaves {there - validation} of {there} "
            f"samples for training, which needs {least}; lower one of validation and train_size"
        )
    train, held_out = draw_rows(arrays.y_train, validation, train_size, rng)
    return Task(
        name,
        train=_split(x_train[train], arrays.y_train[train]),
        validation=_split(x_train[held_out], arrays.y_train[held_out]),
        test=_split(x_test, arrays.y_test),
        num_classes=classes,
        bounds=_bounds(x_train, x_test),
    )


def _inputs(arrays: Arrays, part: str) -> Array:
    """Images as (n, c, h, w), and vectors as they are."""
    x: Array = getattr(arrays, part)
    floating = np.issubdtype(x.dtype, np.floating)
    usable = x.size if x.ndim and (floating or x.dtype == np.uint8) else 0
    if usable and x.ndim == 2 and floating:
        images = x
    elif usable and x.ndim == 3:
        images = x[:, None]
    elif usable and x.ndim == 4 and x.shape[1] in _CHANNELS:
        images = x
    elif usable and x.ndim == 4 and x.shape[3] in _CHANNELS:
        images = x.transpose(0, 3, 1, 2)
    else:
        raise DataError(f"{arrays.place}: {part} is {x.shape} of {x.dtype}; must be {_INPUTS}")
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32)).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{arrays.place}: {part} has a value that is not finite in row {finite.argmin()}; "
            "must be within the range of float32"
        )
    return images


def _check_labels(arrays: Arrays, part: str) -> None:
    """Raise a DataError that names the first class which is not one of 0..c−1, c in training."""
    x, y = getattr(arrays, f"x_{part}"), getattr(arrays, f"y_{part}")
    if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
        raise DataError(
            f"{arrays.place}: y_{part} is {y.shape} of {y.dtype}; must be integers "
            f"({len(x)},), one for each sample of x_{part}"
        )
    classes = len(np.unique(arrays.y_train))
    wrong = (y < 0) | (y >= classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{arrays.place}: y_{part} has the label {y[row]} in row {row}; must be "
            f"0..{classes - 1}, as y_train has {classes} different ones; number the classes from 0 "
            "on, without a gap"
        )


def _bounds(x_train: Array, x_test: Array) -> tuple[float, float] | None:
    """The range of pixels; vectors have none, nor have images outside [0, 1]."""
    if x_train.dtype == np.uint8:
        return 0.0, 1.0
    inside = all(x.min() >= 0 and x.max() <= 1 for x in (x_train, x_test))
    return (0.0, 1.0) if x_train.ndim == 4 and inside else None


def _split(x: Array, y: Array) -> Split:
    if x.dtype == np.uint8:
        return image_split(x, y)
    inputs: Tensor = torch.from_numpy(x.astype(np.float32, order="C"))
    return Split(inputs, torch.from_numpy(y.astype(np.int64)))
