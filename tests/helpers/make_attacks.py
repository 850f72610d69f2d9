"""Every attack with a small budget, trained models to attack, and attacked images known by hand."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from make_cells import create, small_cell
from torch import Tensor, nn

from lapbench.attacks.base.attack import Attack, Candidate
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split, Task
from lapbench.discovery import names
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model
from lapbench.methods.softmax import LinearModel
from lapbench.seeds import Seeds
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component
from lapbench.training.loop import train

TESTED_ELSEWHERE = {
    "fgsm-snr",
    "gaussian-noise",
    "neuron-dropout",
    "random-edges",
    "verification",
    "weight-quantization",
}
ATTACKS = [name for name in names("attacks") if name not in TESTED_ELSEWHERE]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "fgsm": ("fgsm", {"epsilons": [0.1, 0.3]}),
    "fgsm, l2": ("fgsm", {"epsilons": [1.5], "norm": "l2"}),
    "fgsm, normalised": ("fgsm", {"epsilons": [0.6], "units": "normalised"}),
    "ifgsm": ("ifgsm", {"epsilons": [0.3], "step_size": 0.15}),
    "ifgsm, l2": ("ifgsm", {"epsilons": [1.5], "norm": "l2", "step_size": 0.7}),
    "pgd": ("pgd", {"epsilons": [0.1, 0.3], "steps": [2, 6], "restarts": 2}),
    "pgd, l2": ("pgd", {"epsilons": [1.5], "norm": "l2", "steps": [6]}),
    "pgd, normalised": ("pgd", {"epsilons": [0.6], "units": "normalised", "steps": [6]}),
    "apgd-ce": ("apgd-ce", {"epsilons": [0.1, 0.3], "steps": 8}),
    "apgd-ce, l2": ("apgd-ce", {"epsilons": [1.5], "norm": "l2", "steps": 12}),
    "square": ("square", {"epsilons": [0.1, 0.3], "queries": 30}),
    "square, normalised": ("square", {"epsilons": [0.8], "units": "normalised", "queries": 30}),
    "transfer": ("transfer", {"epsilons": [0.1, 0.3], "steps": [2, 12]}),
    "transfer, l2": ("transfer", {"epsilons": [1.5], "norm": "l2", "steps": [6]}),
    "deepfool": ("deepfool", {"steps": 10}),
    "cw-gll": ("cw-gll", {"constants": [1.0, 20.0], "steps": 20, "learning_rate": 0.05}),
    "cw-gll, logits": (
        "cw-gll",
        {"constants": [5.0], "steps": 20, "learning_rate": 0.05, "on": "logits"},
    ),
    "cw-strong": ("cw-strong", {"steps": 20, "searches": 2, "confidence": 1.0}),
}
NEEDS_BOUNDS = {"cw-gll", "cw-strong"}
HEADS = ["softmax", "gll", "wnll"]
OPTIONS: dict[str, dict[str, Any]] = {"wnll": {"k": 8, "bandwidth_rank": 4}}


def attack(case: str) -> Attack:
    """The attack of a case."""
    name, options = CASES[case]
    made: Attack = create("attacks", name, **options)
    return made


@cache
def trained(head: str, data: str = "digits") -> tuple[Model, Task, Seeds]:
    """A model trained on digits, or on two moons, whose inputs have no bounds."""
    cell = small_cell(head, **OPTIONS.get(head, {}))
    if data == "digits":
        cell = replace(
            cell,
            dataset=Component("digits", {}),
            backbone=Component("small_cnn", {"width": 6, "feature_size": 16}),
            budget=Budget(epochs=8, batch_size=100, learning_rate=0.01),
        )
    task = cell.load_task()
    model = cell.build_model(task)
    budget = cell.budget if data == "digits" else Budget(epochs=30, learning_rate=0.02)
    train(model, task, budget, cell.seeds)
    return model, task, cell.seeds


def target_of(head: str, data: str = "digits") -> Target:
    """The trained model as attacks see it; transfer attacks start from that of softmax."""
    model, task, seeds = trained(head, data)
    kind = create("methods", head, **OPTIONS.get(head, {})).gradient_kind
    return Target(model, task, seeds, kind, lambda _: trained("softmax", data)[0])


def batch_of(task: Task, count: int = 30) -> Split:
    """Some test samples, the class of every tenth being unknown."""
    y = task.test.y[:count].clone()
    y[::10] = -1
    return Split(task.test.x[:count], y)


def candidates(case: str, target: Target, batch: Split, seed: int = 0) -> list[Candidate]:
    """All that an attack finds, the random numbers being those of a seed."""
    torch.manual_seed(seed)
    return list(attack(case).perturb(target, batch.x, batch.y))


@torch.no_grad()
def right(target: Target, x: Tensor, y: Tensor) -> Tensor:
    """Which samples (n,) are predicted as their class."""
    return target.log_probabilities(x).argmax(dim=1) == y


class Flat(nn.Module):
    """A backbone without parameters."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.feature_size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def linear_target(
    classes: int, size: int, bounds: tuple[float, float] | None, samples: int = 40, scale: float = 3
) -> tuple[Target, Split]:
    """Softmax on random weights in float64, and random vectors of the class that it predicts."""
    generator = torch.Generator().manual_seed(0)
    low, high = bounds or (-1.0, 1.0)
    uniform = torch.rand(samples, size, generator=generator, dtype=torch.float64)
    x = low + (high - low) * uniform * torch.linspace(0.3, 1, size, dtype=torch.float64)
    model = LinearModel(Flat(size), classes).double()
    weights = scale * torch.randn(classes, size, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        model.linear.weight.copy_(weights)
        model.linear.bias.copy_(-(weights @ x.mean(dim=0)))
        y = model(x).argmax(dim=1)
    split = Split(x, y)
    return Target(model, Task("random", split, split, split, classes, bounds), Seeds("r", 0)), split


PERTURBATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "pgd, base sets": ("pgd", {"epsilons": [0.1, 0.3], "steps": [2, 3], "base_sets": 3}),
    "fgsm-snr": ("fgsm-snr", {"snrs": [10.0, 20.0]}),
    "gaussian-noise": ("gaussian-noise", {"snrs": [10.0, 20.0], "draws": 3}),
    "neuron-dropout": ("neuron-dropout", {"draws": 2}),
    "random-edges": ("random-edges", {"kind": "deletion", "draws": 2}),
    "verification": ("verification", {"epsilons": [1e-4, 2e-4], "steps": 3, "restarts": 2}),
    "weight-quantization": ("weight-quantization", {"bits": [4, 6]}),
}


def attacked_cell(case: str) -> Cell:
    """A cell whose model the attack of a case applies to."""
    cell = small_cell("gll", k=8) if case == "pgd, base sets" else small_cell("softmax")
    data = "karate" if case == "random-edges" else "digits"
    backbone = {"random-edges": "gnn", "verification": "strided_cnn"}.get(case, "small_cnn")
    options = {} if case == "verification" else {"width": 4}
    return replace(cell, dataset=Component(data, {}), backbone=Component(backbone, options))


LABELS = np.array([7, 3, 5, 1])


PREDICTED = {
    "none": np.array([1, 3, 5, 1]),
    "fgsm": np.array([2, 3, 4, 0]),
    "worst case": np.array([2, 9, 5, 0]),
}


def images(key: str, channels: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Image i has the value i/4; FGSM adds 0.1 and takes 0.1 from a corner. The first is wrong."""
    x = np.ones((4, channels, 3, 3)) * np.arange(4).reshape(-1, 1, 1, 1) / 4
    change = np.full((channels, 3, 3), 0.1)
    change[:, 0, 0] = -0.1
    result = {"attacked labels": LABELS}
    for attack, predicted in PREDICTED.items():
        if attack == "fgsm" and "gll" in key:
            predicted = PREDICTED["none"]
        result[f"attacked class: {attack}"] = predicted
        result[f"attacked x: {attack}"] = x + change * (attack != "none")
    result["nearest x"] = np.repeat(x[:, None], 5, axis=1)
    result["nearest class"] = np.array([[7, 3, 5, 1, 0]] * 4)
    return result
