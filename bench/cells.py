"""Cells: each describes one training and evaluation completely."""

import hashlib
import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from lapbench import discovery
from lapbench.adversarial import PGD
from lapbench.datasets._task import Split, Task
from lapbench.errors import LapbenchError
from lapbench.methods._base_set import order_by_class
from lapbench.methods._protocol import Budget, Head, Model, Term
from lapbench.methods._smoothness import Power
from lapbench.seeds import Seeds

STRICT = ConfigDict(extra="forbid", strict=True)


def parse(kind: Any, content: Any) -> Any:
    """Return an object of a validated dataclass from tables, lists and numbers.

    Raises:
        pydantic.ValidationError: listing every mistake.

    """
    return TypeAdapter(kind).validate_json(json.dumps(content, default=str))


@dataclass(frozen=True, config=STRICT)
class Component:
    """A data set, backbone or method by name, with all its parameters."""

    name: str
    parameters: dict[str, Any]

    def create(self, kind: str) -> Any:
        """Return the object that the name and parameters describe."""
        return parse(discovery.load(kind, self.name), self.parameters)


@dataclass(frozen=True, config=STRICT)
class Method:
    """One head and any number of terms, sorted by name."""

    head: Component
    terms: list[Component] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """``head + term + …``; a term alone stands for softmax with it."""
        parts = [part.name for part in (self.head, *self.terms)]
        return " + ".join(parts[1:] if self.terms and parts[0] == "softmax" else parts)

    def create_head(self) -> Head:
        """Return the head's hyper-parameters."""
        head: Head = self.head.create("methods")
        return head

    def create_terms(self) -> list[Term]:
        """Return the terms' hyper-parameters."""
        return [term.create("methods") for term in self.terms]


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """How a trained model is evaluated.

    Args:
        split: ``"test"``, or ``"validation"`` for sweeps that choose hyper-parameters.
        batch_size: samples per prediction; part of the result where predictions depend on the
            batch.
        snapshot_epochs: epochs after which the features of the training samples are stored, for
            figures; 0 is before training.
        stages: whether the stages of one pass of the trained model over the training samples are
            timed, for figures.
        smoothness_powers: powers m of the Laplacian for which the label smoothness at each ReLU
            is stored, on batches of 100 training samples, for figures.

    """

    split: Literal["test", "validation"] = "test"
    batch_size: Annotated[int, Field(ge=1)] = 500
    snapshot_epochs: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    stages: bool = False
    smoothness_powers: list[Power] = Field(default_factory=list)


@dataclass(frozen=True, config=STRICT)
class Cell:
    """One training run: everything that its result depends on, but the code and the data.

    ``labeled`` training samples keep their class, all if it is None; with ``train`` = ``"inner"``
    those that the task names V_out lose it, which bilevel learning takes its outer loss from;
    ``pgd`` is the attack of adversarial training, None in natural training.
    """

    dataset: Component
    backbone: Component
    method: Method
    training: Literal["natural", "pgd"]
    pgd: PGD | None
    budget: Budget
    evaluation: Evaluation
    repetition: Annotated[int, Field(ge=0)]
    device: str
    threads: Annotated[int, Field(ge=1)]
    labeled: Annotated[int, Field(ge=1)] | None = None
    train: Literal["all", "inner"] = "all"

    @property
    def seeds(self) -> Seeds:
        """The random streams of the cell, the same for all methods."""
        return Seeds(self.dataset.name, self.repetition)

    def load_task(self) -> Task:
        """Return the task with the training and validation samples of this repetition.

        Raises:
            LapbenchError: if fewer samples than classes, or more than there are, keep their class,
                or V_out is to lose its classes and the task names none.

        """
        task: Task = self.dataset.create("datasets").load(self.seeds.stream("split"))
        if self.train == "inner":
            task = hide_outer(task)
        if self.labeled is None:
            return task
        return keep_labels(task, self.labeled, self.seeds.stream("labeled"))

    def build_model(self, task: Task) -> Model:
        """Return an untrained model; the backbone starts the same under every method."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seeds.integer("backbone"))
            backbone = self.backbone.create("backbones").build(task)
            torch.manual_seed(self.seeds.integer("head"))
            model = self.method.create_head().build(backbone, task)
            for term in self.method.create_terms():
                term.prepare(model)
        return model

    def key(self, data_hash: str) -> str:
        """Return the identity of the result: a hash of cell, method versions and data."""
        parts = [self.method.head, *self.method.terms]
        identity = {
            "cell": TypeAdapter(Cell).dump_python(self, mode="json"),
            "versions": [discovery.load("methods", part.name).version for part in parts],
            "data": data_hash,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def keep_labels(task: Task, count: int, rng: np.random.Generator) -> Task:
    """Return a task whose training samples have class −1, but ``count`` with all classes evenly.

    Where the task names V_out, samples inside and outside of it take turns in each class.
    """
    y = task.train.y
    known = int((y >= 0).sum())
    if not task.num_classes <= count <= known:
        raise LapbenchError(
            f"labeled: received {count}; {task.name} has {task.num_classes} classes and {known} "
            f"labelled training samples, accepted are {task.num_classes}..{known}"
        )
    order = order_by_class(y, rng)
    outer = order[:0] if task.outer is None else task.outer
    outside = torch.isin(order, outer).long()
    group, by_group = (2 * y[order] + outside).sort(stable=True)
    order, outside = order[by_group], outside[by_group]
    starts = group.bincount(minlength=2 * task.num_classes).cumsum(0).roll(1)
    starts[0] = 0
    rank = 2 * (torch.arange(len(order)) - starts[group]) + outside
    kept = order[rank.sort(stable=True).indices[:count]]
    hidden = torch.full_like(y, -1)
    hidden[kept] = y[kept]
    return replace(task, train=Split(task.train.x, hidden))


def hide_outer(task: Task) -> Task:
    """Return a task whose samples V_out have class −1 in training."""
    if task.outer is None:
        raise LapbenchError(
            f'train: received "inner", but {task.name} names no V_out; accepted is "all", or a '
            "data set of nodes such as cora"
        )
    hidden = task.train.y.index_fill(0, task.outer, -1)
    return replace(task, train=Split(task.train.x, hidden))


def data_hash(task: Task) -> str:
    """Return a hash of all samples of a task, in their splits and order."""
    digest = hashlib.sha256()
    for split in (task.train, task.validation, task.test):
        for array in (split.x, split.y):
            digest.update(str(tuple(array.shape)).encode())
            digest.update(array.contiguous().numpy().tobytes())
    for rows in (task.edge_index, task.outer, task.outer_labels):
        if rows is not None:
            digest.update(rows.contiguous().numpy().tobytes())
    return digest.hexdigest()
