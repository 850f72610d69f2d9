"""Small trainings: a model in phases, random samples, and quick pretraining."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from make_cells import load_task, small_cell
from torch import Tensor, nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.backbones.small_resnet import SmallResNet
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import HoldsOut, Phase, TrainsInPhases
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.methods.softmax import cross_entropy
from lapbench.seeds import Seeds
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train
from lapbench.training.simclr import SimCLR
from lapbench.training.steps import Recipe

SEEDS = Seeds("noise", 0)
Parts = Literal["all", "head", "backbone"]


def noise(images: bool, unknown: int = 0, validation: int = 6) -> Task:
    """Small random images, or vectors in float64; the first training rows have unknown classes."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> Split:
        shape = (count, 1, 8, 8) if images else (count, 3)
        x = torch.from_numpy(rng.standard_normal(shape))
        return Split(x.float() if images else x, torch.from_numpy(np.arange(count) % 2))

    drawn = draw(20)
    drawn.y[:unknown] = -1
    return Task("noise", drawn, draw(validation), draw(4), 2)


class Phased(Model, TrainsInPhases, HoldsOut):
    """A linear classifier on a backbone, trained in the phases of a test; notes what happens."""

    def __init__(self, task: Task, parts: Sequence[tuple[Parts, int]]) -> None:
        torch.manual_seed(0)
        images = task.train.x.ndim == 4
        super().__init__(SmallResNet(width=2, blocks=1).build(task) if images else nn.Linear(3, 4))
        self.linear = nn.Linear(4, 2)
        self.parts = parts
        self.events: list[Any] = []
        self.batches: list[Tensor] = []
        self.to(task.train.x.dtype)

    def outputs(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(self.features(x)).log_softmax(dim=1)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        self.batches.append(x)
        return cross_entropy(self.outputs(self.features(x)), y)

    def chosen(self, part: Parts) -> list[nn.Parameter]:
        chosen: dict[Parts, nn.Module] = {
            "all": self,
            "head": self.linear,
            "backbone": self.backbone,
        }
        return list(chosen[part].parameters())

    def phases(self, budget: Budget) -> list[Phase]:
        return [Phase(p, replace(budget, epochs=n), self.chosen(p)) for p, n in self.parts]

    def start_phase(self, phase: Phase) -> None:
        self.events.append(phase.name)

    def start_epoch(self, task: Task, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        self.events.append(int(rng.integers(2**62)))
        return torch.empty(0, dtype=torch.int64)


def state(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def trained(
    model: Model, task: Task, budget: Budget, recipe: Recipe | None = None
) -> tuple[list[Epoch], list[dict[str, Tensor]]]:
    """The epochs of training, and the model's state after each."""
    epochs: list[Epoch] = []
    states: list[dict[str, Tensor]] = []

    def observe(epoch: Epoch) -> None:
        epochs.append(epoch)
        states.append(state(model))
        assert all(parameter.requires_grad for parameter in model.parameters())

    train(model, task, budget, SEEDS, recipe, TrainingObserver(epoch=observe))
    return epochs, states


Penalty = Callable[[Model, Tensor, float], Tensor]


@dataclass(frozen=True)
class Noting(Term):
    """Adds a penalty, and notes the calls."""

    penalise: Penalty
    act: Callable[[Model], object] = lambda model: None
    calls: list[tuple[str, float | None]] = field(default_factory=list)

    def penalty(self, model: Model, x: Tensor, y: Tensor, progress: float) -> Tensor:
        assert len(x) == len(y)
        self.calls.append(("penalty", progress))
        return self.penalise(model, x, progress)

    def after_step(self, model: Model) -> None:
        self.calls.append(("after_step", None))
        self.act(model)


QUICK = SimCLR(epochs=2, batch_size=50, optimizer="adam", learning_rate=0.003)
WILD = SimCLR(epochs=2, batch_size=50, learning_rate=1e38)
DIGITS = replace(
    small_cell("softmax"),
    dataset=Component("digits", {}),
    backbone=Component("small_resnet", {"width": 2, "blocks": 1}),
)


def few_digits(count: int = 101) -> Task:
    task = load_task("digits")
    return replace(task, train=Split(task.train.x[:count], task.train.y[:count]))


def backbone_of(cell: Cell, task: Task) -> nn.Module:
    return cell.build_model(task).backbone


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
