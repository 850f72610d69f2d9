"""Outputs and ReLU patterns at opposite corners, by loops that share no code with lapbench."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.backbone import Features
from lapbench.methods.base.model import Model
from lapbench.methods.softmax import Softmax

SAMPLES, INPUTS, CLASSES = 6, 3, 4
EPSILON = 0.05
GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(SAMPLES, INPUTS, dtype=torch.float64, generator=GENERATOR)
Y = torch.tensor([0, 1, 2, 3, -1, 0])
SIGNS = torch.randint(2, X.shape, generator=GENERATOR).double() * 2 - 1
TASK = Task("toy", *[Split(X.float(), Y)] * 3, num_classes=CLASSES)


def small_model() -> Model:
    """A softmax model in float64 with two hidden layers of 5 and 4 units."""
    torch.manual_seed(1)
    layers = nn.Linear(INPUTS, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU()
    return Softmax().build(Features(*layers, feature_size=4), TASK).double()


def forward_by_loops(model: Model, sample: Tensor) -> tuple[list[np.ndarray], np.ndarray]:
    """Pre-activations of the hidden layers, and logits, of one sample."""
    *hidden, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    values, observed = sample.numpy(), []
    for layer in hidden:
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        observed.append(np.array([row @ values + b for row, b in zip(weight, bias, strict=True)]))
        values = np.array([value if value > 0 else 0.0 for value in observed[-1]])
    weight, bias = last.weight.detach().numpy(), last.bias.detach().numpy()
    return observed, np.array([row @ values + b for row, b in zip(weight, bias, strict=True)])


def intrinsic_by_loops(model: Model) -> float:
    """Mean over samples of ‖f(x + ρ) − f(x − ρ)‖²."""
    total = 0.0
    for x, signs in zip(X, SIGNS, strict=True):
        _, plus = forward_by_loops(model, x + EPSILON * signs)
        _, minus = forward_by_loops(model, x - EPSILON * signs)
        total += sum((a - b) ** 2 for a, b in zip(plus, minus, strict=True))
    return total / SAMPLES


def layer_hamming_by_loops(plus: np.ndarray, minus: np.ndarray, alpha: float, power: int) -> float:
    """Relaxed Hamming distance of one sample in one layer."""
    squares, elements = 0.0, 0
    for a, b in zip(plus.ravel(), minus.ravel(), strict=True):
        squares += abs(math.tanh(alpha * a) - math.tanh(alpha * b)) ** 2
        elements += 1
    return (math.sqrt(squares) if power == 1 else squares) / (2 * elements)


def hamming_by_loops(model: Model, alpha: float, power: int) -> float:
    """Mean over samples and layers of the relaxed Hamming distance."""
    samples = []
    for x, signs in zip(X, SIGNS, strict=True):
        plus, _ = forward_by_loops(model, x + EPSILON * signs)
        minus, _ = forward_by_loops(model, x - EPSILON * signs)
        layers = zip(plus, minus, strict=True)
        samples.append([layer_hamming_by_loops(a, b, alpha, power) for a, b in layers])
    return sum(sum(layers) / len(layers) for layers in samples) / len(samples)
