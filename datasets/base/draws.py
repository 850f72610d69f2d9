"""Draws of training and validation rows, where the test set is given."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.integer[Any]]
Rows = NDArray[np.int64]


def draw_rows(
    classes: Classes,
    validation: int,
    train_size: int | None,
    rng: np.random.Generator,
    train_rows: Literal["drawn", "first"] = "drawn",
) -> tuple[Rows, Rows]:
    """Disjoint random rows for training and for validation, both in ascending order.

    Each class has its share of either, to one sample where the classes are of similar size (it is
    divided by Webster's rule); from as many samples as there are classes on, none is then missing.
    The validation rows do not depend on ``train_size``, and a smaller training set is part of a
    larger one.

    Args:
        classes: (n,) of all samples.
        validation: how many are for validation, possibly 0.
        train_size: how many of the others are for training; None for all of them.
        rng: what draws.
        train_rows: ``"first"`` if the training rows are the first ones instead; the validation rows
            are then drawn from the others.

    Raises:
        ValueError: if there are fewer samples.

    """
    rest = len(classes) - validation
    chosen = rest if train_size is None else train_size
    if not 0 <= chosen <= rest or validation < 0:
        raise ValueError(
            f"received validation = {validation} and train_size = {train_size} for {len(classes)} "
            "samples; must be >= 0, and at most as many together"
        )
    if train_rows == "first":
        others = chosen + _spread(classes[chosen:], rng)
        return np.arange(chosen), np.sort(others[:validation])
    order = _spread(classes, rng)
    return np.sort(order[:chosen]), np.sort(order[rest:])


def _spread(classes: Classes, rng: np.random.Generator) -> Rows:
    """All rows in a random order in which every stretch has all classes in proportion."""
    order = rng.permutation(len(classes))
    position = np.empty(len(classes))
    for label in np.unique(classes):
        (places,) = (classes[order] == label).nonzero()
        position[places] = (np.arange(len(places)) + 0.5) / len(places)
    return order[position.argsort(kind="stable")]
