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
from lapbench.attacks._protocol import Attack, BallAttack, Norm, Positive, Units
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
class PlannedAttack:
    """An attack with its budget, and its name in tables."""

    label: str
    attack: Component

    def create(self) -> Attack:
        """Return the attack."""
        attack: Attack = self.attack.create("attacks")
        return attack


@dataclass(frozen=True, config=STRICT)
class Robustness:
    """Which attacks a trained model meets, on which samples.

    Args:
        attacks: all of them.
        epsilon: ε of the headline, the worst case over all attacks; None without a worst case.
        norm, units: of the ball of the worst case.
        samples: of the evaluated split, in the proportions of the classes, the same in every
            repetition.

    """

    attacks: Annotated[list[PlannedAttack], Field(min_length=1)]
    epsilon: Positive | None = None
    norm: Norm = "linf"
    units: Units = "input"
    samples: Annotated[int, Field(ge=1)] = 128

    def is_ball_of(self, attack: BallAttack) -> bool:
        """Whether an attack searches the kind of ball that the worst case is over."""
        return (attack.norm, attack.units) == (self.norm, self.units)


@dataclass(frozen=True, config=STRICT)
class Cell:
    """One training run: everything that its result depends on, but the code and the data.

    ``labeled`` training samples keep their class, all if it is None; with ``train`` = ``"inner"``
    those that the task names V_out lose it, which bilevel learning takes its outer loss from;
    ``pgd`` is the attack of adversarial training, None in natural training. ``robustness`` are the
    attacks on the trained model, None for none; ``sources`` the keys of other cells by the names
    that transfer attacks give them.
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
    robustness: Robustness | None = None
    sources: dict[str, str] = Field(default_factory=dict)

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
        """Return the identity of the result: a hash of cell, data, and versions of what it uses."""
        parts = [("methods", part.name) for part in (self.method.head, *self.method.terms)]
        if self.robustness:
            parts += [("attacks", planned.attack.name) for planned in self.robustness.attacks]
        identity = {
            "cell": TypeAdapter(Cell).dump_python(self, mode="json"),
            "versions": [discovery.load(kind, name).version for kind, name in parts],
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
