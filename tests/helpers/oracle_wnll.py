"""Interpolation by the weighted nonlocal Laplacian, by loops; small tasks and models for it."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.backbones.mlp import MLP
from lapbench.methods.wnll import WNLLActivation

CLASSES, NEIGHBORS, RANK = 3, 6, 3


def dense_values(
    points: Tensor, template: Tensor, labels: Tensor, label_weight: str = "ratio - 1"
) -> Tensor:
    """Ŷ (n, c) at the points, by eq. 5 of the WNLL paper."""
    everything = np.concatenate([template.detach().numpy(), points.detach().numpy()])
    nodes, given = len(everything), len(template)
    weights = np.zeros((nodes, nodes))
    for x in range(nodes):
        squared = ((everything - everything[x]) ** 2).sum(axis=1)
        squared[x] = np.inf
        nearest = squared.argsort()[:NEIGHBORS]
        for y in nearest:
            weights[x, y] = np.exp(-squared[y] / squared[nearest[RANK - 1]])
    mu = nodes / given - (1 if label_weight == "ratio - 1" else 0)
    matrix, right = np.zeros((nodes - given,) * 2), np.zeros((nodes - given, CLASSES))
    for x, y in product(range(given, nodes), range(nodes)):
        pull = weights[x, y] + weights[y, x] + (mu * weights[y, x] if y < given else 0)
        matrix[x - given, x - given] += pull
        if y < given:
            right[x - given, labels[y]] += pull
        else:
            matrix[x - given, y - given] -= pull
    return torch.from_numpy(np.linalg.solve(matrix, right))


def dense_loss(values: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of logits, by its formula."""
    chosen = values[torch.arange(len(y)), y]
    return (values.exp().sum(dim=1).log() - chosen).mean()


def dense_log_probabilities(values: Tensor) -> Tensor:
    floored = torch.maximum(values, torch.tensor(1e-8))
    return (floored / floored.sum(dim=1, keepdim=True)).log()


def blobs(per_class: int = 16) -> Task:
    """Three overlapping classes in four dimensions, in float64."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> Split:
        y = np.arange(count * CLASSES) % CLASSES
        x = rng.standard_normal((len(y), 4)) + 1.5 * np.eye(4)[y]
        return Split(torch.from_numpy(x), torch.from_numpy(y).long())

    return Task("blobs", draw(per_class), draw(4), draw(5), CLASSES)


def partly_unknown(task: Task, every: int = 5) -> Task:
    """The task with each so many-th label of the training split unknown."""
    y = task.train.y.clone()
    y[::every] = -1
    return replace(task, train=Split(task.train.x, y))


def build(task: Task, **options: Any) -> Any:
    """A model in float64 on a small network."""
    torch.manual_seed(0)
    backbone = MLP(width=8, feature_size=12).build(task)
    head = WNLLActivation(**{"k": NEIGHBORS, "bandwidth_rank": RANK, "rounds": 2, **options})
    return head.build(backbone, task).double()


def interpolating(task: Task, **options: Any) -> Any:
    """The same in the WNLL branch; every second training sample is in its template."""
    model = build(task, **options)
    model.template = Split(task.train.x[::2], task.train.y[::2])
    model.branch = "wnll"
    return model


def values_of(model: Any, x: Tensor, template: Split) -> Tensor:
    """Ŷ at inputs by the dense solve on the model's features."""
    weight = model.head.label_weight if hasattr(model, "head") else "ratio - 1"
    return dense_values(model.features(x), model.features(template.x), template.y, weight)


def template_batches(model: Any, x: Tensor) -> list[Split]:
    """The templates that a prediction interpolates from."""
    batches: list[Split] = []
    interpolate = model.interpolate

    def record(features: Tensor, template: Split) -> Tensor:
        batches.append(template)
        return interpolate(features, template)

    model.interpolate = record
    model(x)
    del model.interpolate
    return batches
