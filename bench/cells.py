"""Cells: each describes one training and evaluation completely."""

import hashlib
import json
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from lapbench import discovery
from lapbench.datasets._task import Task
from lapbench.methods._protocol import Budget, Head, Model
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

    """

    split: Literal["test", "validation"] = "test"
    batch_size: Annotated[int, Field(ge=1)] = 500
    snapshot_epochs: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    stages: bool = False


@dataclass(frozen=True, config=STRICT)
class Cell:
    """One training run: everything that its result depends on, but the code and the data."""

    dataset: Component
    backbone: Component
    method: Component
    training: Literal["natural"]
    budget: Budget
    evaluation: Evaluation
    repetition: Annotated[int, Field(ge=0)]
    device: str
    threads: Annotated[int, Field(ge=1)]

    @property
    def seeds(self) -> Seeds:
        """The random streams of the cell, the same for all methods."""
        return Seeds(self.dataset.name, self.repetition)

    def load_task(self) -> Task:
        """Return the task with the training and validation samples of this repetition."""
        task: Task = self.dataset.create("datasets").load(self.seeds.stream("split"))
        return task

    def head(self) -> Head:
        """Return the method's hyper-parameters."""
        head: Head = self.method.create("methods")
        return head

    def build_model(self, task: Task, head: Head) -> Model:
        """Return an untrained model; the backbone starts the same under every method."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seeds.integer("backbone"))
            backbone = self.backbone.create("backbones").build(task)
            torch.manual_seed(self.seeds.integer("head"))
            return head.build(backbone, task)

    def key(self, data_hash: str) -> str:
        """Return the identity of the result: a hash of cell, method version and data."""
        identity = {
            "cell": TypeAdapter(Cell).dump_python(self, mode="json"),
            "version": discovery.load("methods", self.method.name).version,
            "data": data_hash,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def data_hash(task: Task) -> str:
    """Return a hash of all samples of a task, in their splits and order."""
    digest = hashlib.sha256()
    for split in (task.train, task.validation, task.test):
        for array in (split.x, split.y):
            digest.update(str(tuple(array.shape)).encode())
            digest.update(array.contiguous().numpy().tobytes())
    return digest.hexdigest()
