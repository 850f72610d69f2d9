"""Your own images, in a folder for each class."""

from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.files import DataError, MissingDataError, expanded
from lapbench.datasets.files.images import Bytes
from lapbench.datasets.files.own import Arrays, own_task

_ENDINGS = (".png", ".jpg", ".jpeg")
_MODES = ("L", "RGB")


@validated
class ImageFolder(Dataset):
    """Your own images, PNG or JPEG, in folders train/CLASS and test/CLASS.

    Pixels in [0, 1]. All images have one size; they have one channel if all are grey, else three.
    Classes are the folders of train, in alphabetical order. Hidden files and files with other
    endings are left out.

    Those in test are the test set; training and validation images are drawn per repetition from
    those in train, each class in proportion.

    Args:
        path: of the folder that has train and test; from the folder in which lapbench runs, if it
            is not absolute.
        validation: images for validation; with 0 there is no validation set.
        train_size: images for training; by default all that are not for validation.

    """

    path: Annotated[str, Field(min_length=1)]
    validation: Annotated[int, Field(ge=0)] = 0
    train_size: Annotated[int, Field(ge=1)] | None = None

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation images being drawn by ``rng``.

        Raises:
            DataError: if folders are missing or empty, or files are not images of one size.

        """
        folder = expanded(self.path)
        classes, tested = (_classes(folder / part) for part in ("train", "test"))
        if classes != tested:
            raise DataError(
                f"{folder / 'test'} has the classes {', '.join(tested)}; must be those of "
                f"{folder / 'train'}: {', '.join(classes)}"
            )
        train, test = (_files(folder / part, classes) for part in ("train", "test"))
        images = _read([path for path, _ in train + test])
        labels = np.array([label for _, label in train + test])
        rows = len(train)
        arrays = Arrays(str(folder), images[:rows], labels[:rows], images[rows:], labels[rows:])
        return own_task("image_folder", arrays, self.validation, self.train_size, rng)


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingDataError(
            f"image_folder: {folder.absolute()} is not there; must be the path of a folder "
            "with train/CLASS/*.png and test/CLASS/*.png (or .jpg)"
        )
    places = (place for place in folder.iterdir() if not place.name.startswith("."))
    return sorted(places, key=lambda place: place.name)


def _classes(folder: Path) -> list[str]:
    names = [place.name for place in _visible(folder) if place.is_dir()]
    if not names:
        raise DataError(f"{folder} has no folders; must have one for each class")
    return names


def _files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """All images below a folder, each with its class."""
    labelled = []
    for label, name in enumerate(classes):
        inside = _visible(folder / name)
        images = [path for path in inside if path.suffix.lower() in _ENDINGS]
        if not images:
            raise DataError(
                f"{folder / name} has no images; must have files that end in {', '.join(_ENDINGS)}"
            )
        labelled += [(path, label) for path in images]
    return labelled


def _read(paths: list[Path]) -> Bytes:
    """Images (n, c, h, w), grey ones being repeated if others are coloured."""
    pixels: list[Bytes] = []
    for path in paths:
        try:
            with Image.open(path) as image:
                mode, array = image.mode, np.asarray(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be read ({error}); must be PNG or JPEG") from error
        if mode not in _MODES:
            raise DataError(
                f"{path} is an image of mode {mode}; must be {' or '.join(_MODES)}, grey or "
                "coloured with 8 bits a channel; convert it"
            )
        if pixels and array.shape[:2] != pixels[0].shape[:2]:
            height, width = pixels[0].shape[:2]
            raise DataError(
                f"{path} has {array.shape[1]} × {array.shape[0]} pixels; must be {width} × "
                f"{height}, as {paths[0]} has; resize it"
            )
        pixels.append(array)
    if any(each.ndim == 3 for each in pixels):
        coloured = [each if each.ndim == 3 else np.stack([each] * 3, axis=2) for each in pixels]
        return np.stack(coloured).transpose(0, 3, 1, 2)
    return np.stack(pixels)[:, None]
