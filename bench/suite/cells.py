"""Cells: each describes one training and evaluation completely."""

import hashlib
import json
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor

from lapbench import discovery
from lapbench.attacks.base.attack import Attack, BallAttack
from lapbench.attacks.base.ball import deviation
from lapbench.attacks.base.quantities import Norm, Positive, Units
from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import refuse_undeclared
from lapbench.methods.base.model import Model
from lapbench.methods.base.smoothness import Power
from lapbench.seeds import Seeds
from lapbench.suite.components import Component, Method
from lapbench.training.adversarial import AdversarialTraining
from lapbench.training.samples import hide_outer, keep_labels, shrink
from lapbench.training.simclr import SimCLR
from lapbench.training.steps import Recipe

Precision = Literal["float32", "mixed"]


@validated
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
        gradient_error: whether the training gradient is compared with finite differences.

    """

    split: Literal["test", "validation"] = "test"
    batch_size: Annotated[int, Field(ge=1)] = 500
    snapshot_epochs: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    stages: bool = False
    smoothness_powers: list[Power] = Field(default_factory=list)
    gradient_error: bool = False

    def scaled(self, share: float, budget: Budget) -> "Evaluation":
        """The evaluation with snapshots at a share of the epochs of a budget."""
        if not budget.epochs:
            return self
        stretch = budget.scaled(share).epochs / budget.epochs
        epochs = {round(stretch * epoch) for epoch in self.snapshot_epochs}
        return replace(self, snapshot_epochs=sorted(epochs))


@validated
class PlannedAttack:
    """An attack with its budget, and its name in tables."""

    label: str
    attack: Component

    def create(self) -> Attack:
        """The attack."""
        attack: Attack = self.attack.create("attacks")
        return attack


@validated
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

    def scaled(self, share: float) -> "Robustness":
        """The attacks on a share of the samples, on one at least."""
        return replace(self, samples=max(1, round(share * self.samples)))

    def is_ball_of(self, attack: BallAttack) -> bool:
        """Whether an attack searches the kind of ball that the worst case is over."""
        return (attack.norm, attack.units) == (self.norm, self.units)


@validated
class Cell:
    """One training run: everything that its result depends on, but the code and the data.

    ``labeled`` training samples keep their class, all if it is None; with ``train`` = ``"inner"``
    those that the task names V_out lose it, which bilevel learning takes its outer loss from;
    ``pgd`` is the attack of adversarial training, None in natural training. ``robustness`` are the
    attacks on the trained model, None for none; ``sources`` the keys of other cells by the names
    that transfer attacks give them. ``scale`` is the share of training and validation samples that
    is used; budget and attacks are scaled already. With ``precision`` = ``"mixed"`` backbones train
    in bfloat16 where autocast does, graphs and node tasks in float32. ``simclr`` pretrains the
    backbone.
    """

    dataset: Component
    backbone: Component
    method: Method
    training: Literal["natural", "pgd"]
    pgd: AdversarialTraining | None
    budget: Budget
    evaluation: Evaluation
    repetition: Annotated[int, Field(ge=0)]
    device: str
    threads: Annotated[int, Field(ge=1)]
    labeled: Annotated[int, Field(ge=1)] | None = None
    train: Literal["all", "inner"] = "all"
    robustness: Robustness | None = None
    sources: dict[str, str] = Field(default_factory=dict)
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    precision: Precision = "float32"
    simclr: SimCLR | None = None

    @property
    def seeds(self) -> Seeds:
        """The random streams of the cell, the same for all methods."""
        return Seeds(self.dataset.name, self.repetition)

    def load_task(self) -> Task:
        """The task with the training and validation samples of this repetition.

        Raises:
            LapbenchError: if fewer samples than classes, or more than there are, keep their class,
                or V_out is to lose its classes and the task names none.

        """
        task: Task = self.dataset.create("datasets").load(self.seeds.stream("split"))
        labeled = self.labeled
        if self.scale < 1 and not task.nodes_only:
            task = shrink(task, self.scale, self.seeds.stream("scale"))
            labeled = labeled and min(labeled, len(task.train))
        if self.train == "inner":
            task = hide_outer(task)
        if labeled is None:
            return task
        return keep_labels(task, labeled, self.seeds.stream("labeled"))

    def with_softmax(self) -> "Cell":
        """The cell with softmax as its method: the reference of times and memory."""
        return replace(self, method=Method(Component("softmax", {})))

    def build_model(self, task: Task, pretrained: dict[str, Tensor] | None = None) -> Model:
        """An untrained model; the backbone starts the same under every method.

        ``pretrained`` is the state of a backbone to start from.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seeds.integer("backbone"))
            backbone = self.backbone.create("backbones").build(task)
            if pretrained:
                backbone.load_state_dict(pretrained)
            torch.manual_seed(self.seeds.integer("head"))
            model = self.method.create_head().build(backbone, task)
            refuse_undeclared(model)
            for term in self.method.create_terms():
                term.prepare(model)
        return model

    def build_recipe(self, task: Task) -> Recipe:
        """What training steps minimise beside the loss of the model, on which inputs."""
        return Recipe(
            self.method.create_terms(),
            self.pgd,
            task.bounds,
            deviation(task.train.x) if self.pgd else None,
            self.trains_mixed(task),
            self.batch_size(task),
        )

    def trains_mixed(self, task: Task) -> bool:
        """Whether backbones train in bfloat16."""
        return self.precision == "mixed" and not task.nodes_only

    def batch_size(self, task: Task) -> int:
        """The samples of a prediction: on a node task all nodes."""
        return len(task.train) if task.nodes_only else self.evaluation.batch_size

    def key(self, data_hash: str) -> str:
        """The identity of the result: a hash of cell, data, and versions of what it uses."""
        parts = [("methods", part.name) for part in (self.method.head, *self.method.terms)]
        if self.robustness:
            parts += [("attacks", planned.attack.name) for planned in self.robustness.attacks]
        identity = {
            "cell": TypeAdapter(Cell).dump_python(self, mode="json"),
            "versions": [discovery.load(kind, name).version for kind, name in parts],
            "data": data_hash,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
