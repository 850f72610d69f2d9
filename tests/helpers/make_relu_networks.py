"""Small ReLU networks for the tests of verification."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from make_cells import small_cell
from scipy import sparse
from torch import Tensor

from lapbench.attacks.verifier.affine import AffineLayer
from lapbench.attacks.verifier.bounds import Box
from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.suite.components import Component
from lapbench.training.loop import train
from lapbench.training.steps import Recipe

UNIT = (0.0, 1.0)


def images(size: int, channels: int = 1) -> Task:
    """Random images of ten classes."""
    x = torch.rand(20, channels, size, size, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(20) % 10)
    return Task("random", split, split, split, num_classes=10, bounds=UNIT)


@cache
def trained(head: str = "softmax", term: str = "", epochs: int = 8) -> tuple[Any, Task]:
    """A small strided_cnn, trained on digits."""
    cell = small_cell(head)
    cell = replace(
        cell,
        dataset=Component("digits", {}),
        backbone=Component("strided_cnn", {"width": 2, "feature_size": 8}),
        method=replace(cell.method, terms=[Component(term, {})] if term else []),
        budget=Budget(epochs=epochs, batch_size=100, learning_rate=0.01),
    )
    task = cell.load_task()
    model = cell.build_model(task)
    recipe = Recipe(cell.method.create_terms())
    train(model, task, cell.budget, cell.seeds, recipe)
    return model.eval(), task


def random_layers(*sizes: int, seed: int, shift: float = 0.0) -> list[AffineLayer]:
    """A network of random weights; a large shift makes every hidden neuron active."""
    rng = np.random.default_rng(seed)
    layers = []
    for before, after in pairwise(sizes):
        weight = rng.standard_normal((after, before)) / before**0.5
        bias = rng.standard_normal(after) / 2 + shift
        layers.append(AffineLayer(sparse.csr_array(weight), bias))
    return layers


def flat(x: Tensor) -> np.ndarray:
    return x.double().flatten(1).numpy()


def values_inside(layers: list[AffineLayer], inputs: np.ndarray) -> list[np.ndarray]:
    """The values (n, m) of every affine layer, one after the other."""
    result = [inputs @ layers[0].weight.toarray().T + layers[0].bias]
    for layer in layers[1:]:
        result.append(np.maximum(result[-1], 0) @ layer.weight.toarray().T + layer.bias)
    return result


def sampled(box: Box, count: int, seed: int = 0) -> np.ndarray:
    """Inputs all over a box, half of them corners."""
    rng = np.random.default_rng(seed)
    shares = rng.random((count, len(box.low)))
    shares[::2] = shares[::2].round()
    result: np.ndarray = box.low + shares * (box.high - box.low)
    return result


def grid(box: Box, count: int) -> np.ndarray:
    """Inputs at equal distances, so many along each axis."""
    axes = [np.linspace(low, high, count) for low, high in zip(box.low, box.high, strict=True)]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(axes))
