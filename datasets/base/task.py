"""Tasks: what every data set gives to every method."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from lapbench.datasets.base.data_files import DataFiles


@dataclass(frozen=True, eq=False)
class Split:
    """Samples x (n, …) in float32 and their classes y (n,) in int64; −1 marks an unknown class."""

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if self.y.dtype != torch.int64 or self.x.shape[:1] != self.y.shape:
            raise ValueError(
                f"split: received x {tuple(self.x.shape)} and y {tuple(self.y.shape)} of "
                f"{self.y.dtype}; must be (n, ...) and (n,) of torch.int64"
            )

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: str) -> "Split":
        """The split on a device."""
        return Split(self.x.to(device), self.y.to(device))


def check_edges(name: str, edge_index: Tensor, num_nodes: int) -> None:
    """Raise a ValueError that names the first edge which is not i < j, in range and unique."""
    if edge_index.dtype != torch.int64 or edge_index.ndim != 2 or len(edge_index) != 2:
        raise ValueError(
            f"task {name}: received edge_index {tuple(edge_index.shape)} of {edge_index.dtype}; "
            "must be (2, E) of torch.int64"
        )
    low, high = edge_index
    wrong = (low < 0) | (low >= high) | (high >= num_nodes)
    position = low * num_nodes + high
    order = position.argsort(stable=True)
    repeated = position[order].diff(prepend=position.new_tensor([-1])) == 0
    wrong[order[repeated & ~wrong[order]]] = True
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0, 0])
        raise ValueError(
            f"task {name}: edge {tuple(edge_index[:, first].tolist())} at {first}; must be "
            f"edges i < j of nodes 0..{num_nodes - 1}, each once (no self-loop, no repetition, one "
            "direction); lapbench.datasets.base.nodes.undirected makes them so"
        )


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: splits, number of classes, and the range of valid inputs.

    On a node task the inputs are the nodes of one graph, and each split has all of them: the same x
    (n, d), and y = −1 at the nodes that are not its own.

    Attributes:
        name: the data set's name.
        train, validation, test: disjoint splits; the test split is the same in every repetition.
        num_classes: classes are 0..num_classes − 1.
        bounds: range of every input value, (0, 1) for images; None where inputs have no range.
        edge_index: (2, E) the undirected edges i < j of a node task, each once; None otherwise.
        outer: (q,) rows of V_out, the training samples from which bilevel learning takes its outer
            loss; None where the data name none.
        outer_labels: (q,) their classes, also where training is without them.

    Raises:
        ValueError: if a class is out of range, an edge or a row of V_out is not as above, or the
            splits of a node task do not share their inputs.

    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    bounds: tuple[float, float] | None = None
    edge_index: Tensor | None = None
    outer: Tensor | None = None
    outer_labels: Tensor | None = None

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            y = getattr(self, split).y
            wrong = (y < -1) | (y >= self.num_classes)
            if wrong.any():
                row = int(wrong.nonzero()[0, 0])
                raise ValueError(
                    f"task {self.name}: {split} label {int(y[row])} in row {row}; must be "
                    f"0..{self.num_classes - 1}, and -1 for unknown"
                )
        if self.edge_index is not None:
            check_edges(self.name, self.edge_index, len(self.train))
            others = (self.validation.x, self.test.x)
            if not all(x is self.train.x or torch.equal(x, self.train.x) for x in others):
                raise ValueError(
                    f"task {self.name}: its splits have different inputs; on a node task each has "
                    "all nodes, with y = -1 where a node is not its own"
                )
        if self.outer is not None:
            self._check_outer(self.outer)

    def _check_outer(self, outer: Tensor) -> None:
        wrong = (outer < 0) | (outer >= len(self.train))
        if self.outer_labels is None or self.outer_labels.shape != outer.shape or bool(wrong.any()):
            labels = None if self.outer_labels is None else tuple(self.outer_labels.shape)
            raise ValueError(
                f"task {self.name}: received outer {tuple(outer.shape)} with outer_labels "
                f"{labels}; must be rows 0..{len(self.train) - 1} and a class for each"
            )

    @property
    def nodes_only(self) -> bool:
        """Whether the task is one of nodes: every batch is the whole graph."""
        return self.edge_index is not None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (channels, height, width) for images, (d,) for vectors."""
        return tuple(self.train.x.shape[1:])

    def to(self, device: str) -> "Task":
        """The task on a device."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Split | Tensor)
        }
        return replace(self, **moved)


def data_hash(task: Task) -> str:
    """A hash of all samples of a task, in their splits and order."""
    digest = hashlib.sha256()
    for split in (task.train, task.validation, task.test):
        for array in (split.x, split.y):
            digest.update(str(tuple(array.shape)).encode())
            digest.update(array.contiguous().numpy().tobytes())
    for rows in (task.edge_index, task.outer, task.outer_labels):
        if rows is not None:
            digest.update(rows.contiguous().numpy().tobytes())
    return digest.hexdigest()


class Dataset(ABC):
    """A data set: a frozen pydantic dataclass of its options, in a file of its name.

    Attributes:
        data_files: what it reads from the data folder; None if nothing.

    """

    data_files: ClassVar[DataFiles | None] = None

    nodes_only: ClassVar[bool] = False
    """Whether its tasks are node tasks."""

    @abstractmethod
    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation samples being drawn by ``rng``."""


def fixed_test_split(
    name: str,
    x: Tensor,
    y: Tensor,
    test: int,
    validation: int,
    rng: np.random.Generator,
    bounds: tuple[float, float] | None = None,
) -> Task:
    """Split samples by class proportions: the test set always the same, validation by ``rng``."""
    rest, test_rows = train_test_split(
        np.arange(len(y)), test_size=test, stratify=y.numpy(), random_state=0
    )
    train_rows, validation_rows = train_test_split(
        rest, test_size=validation, stratify=y[rest].numpy(), random_state=int(rng.integers(2**31))
    )
    return Task(
        name,
        train=Split(x[train_rows], y[train_rows]),
        validation=Split(x[validation_rows], y[validation_rows]),
        test=Split(x[test_rows], y[test_rows]),
        num_classes=int(y.max()) + 1,
        bounds=bounds,
    )
