"""Small targets for the tests of perturbations."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from make_cells import create, small_cell, trained
from torch import Tensor

from lapbench.attacks.base.attack import Attack, Candidate
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split, Task
from lapbench.methods.softmax import LinearModel
from lapbench.seeds import Seeds
from lapbench.suite.components import Component

SEEDS = Seeds("two_moons", 0)
SNRS = [5.0, 15.0, 20.0]
UNITS = ["input", "normalised"]


def images(count: int = 60) -> Task:
    """Random images whose channels differ in mean and deviation, in double precision."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 3, 8, 8, dtype=torch.float64, generator=generator)
    x = x * torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1)
    split = Split(x, torch.arange(count) % 4)
    return Task("random", split, split, split, num_classes=4, bounds=(0.0, 1.0))


@cache
def image_target(backbone: str = "small_resnet", **options: Any) -> Target:
    """A network as it starts, in double precision."""
    task = images()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create("backbones", backbone, width=4, **options).build(task)
        return Target(LinearModel(network, 4).double(), task, SEEDS)


@cache
def moons_target(head: str, *terms: str, backbone: str = "mlp") -> Target:
    """A model trained on two moons."""
    options = {"gll": {"k": 8}, "wnll": {"k": 8, "bandwidth_rank": 4}}
    cell = small_cell(head, **options.get(head, {}))
    sizes = {"width": 8} if backbone == "mlp" else {}
    cell = replace(cell, backbone=Component(backbone, sizes))
    cell = replace(cell, method=replace(cell.method, terms=[Component(t, {}) for t in terms]))
    model, task, _ = trained(cell)
    return Target(model, task, cell.seeds)


def run(attack: Attack, target: Target, seed: int = 0, **changed: Tensor) -> list[Candidate]:
    """All candidates of the test samples, with the random numbers of a seed."""
    split = replace(target.task.test, **changed)
    torch.manual_seed(seed)
    return list(attack.perturb(target, split.x, split.y))


def ratios(task: Task, x: Tensor, moved: Tensor, units: str) -> Tensor:
    """The ratio in decibels of each image, by numpy."""
    train, signal, noise = task.train.x.numpy(), x.numpy(), (moved - x).numpy()
    if units == "normalised":
        mean, deviation = train.mean((0, 2, 3)), train.std((0, 2, 3))
        signal = (signal - mean[:, None, None]) / deviation[:, None, None]
        noise = noise / deviation[:, None, None]
    power = (signal**2).sum((1, 2, 3)) / (noise**2).sum((1, 2, 3))
    return torch.from_numpy(10 * np.log10(power))
