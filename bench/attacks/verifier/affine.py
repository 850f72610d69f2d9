"""A trained network as affine maps with a ReLU between each two, for verification."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

from lapbench.methods.base.backbone import Normalize
from lapbench.methods.base.capabilities import HasLayers
from lapbench.methods.base.model import Model

Array = NDArray[np.float64]

_AFFINE = (Normalize, nn.Conv2d, nn.Linear, nn.Flatten)
_UNIT_VECTORS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class AffineLayer:
    """The map z ↦ W z + b in float64, W sparse (m, d) and b (m,)."""

    weight: sparse.csr_array
    bias: Array


def why_not(model: Model) -> str | None:
    """Why a model is not affine maps and ReLUs in sequence, or None if it is."""
    if not isinstance(model, HasLayers):
        return (
            f"verification: received {type(model).__name__}; must be a head that is linear in "
            "the features, softmax or svm, with any terms"
        )
    if model.no_layers:
        return f"verification: {model.no_layers}"
    for layer in model.layers():
        if not isinstance(layer, (*_AFFINE, nn.ReLU)):
            return (
                f"verification: the backbone has a {type(layer).__name__}; must be linear and "
                "convolutional layers and ReLU; use strided_cnn or mlp"
            )
    return None


def affine_layers(model: Model, input_shape: Sequence[int]) -> list[AffineLayer]:
    """The affine maps of a model, from its flattened inputs to its outputs.

    outputs(x) = A_L(relu(A_{L−1}(… relu(A_1(x))))), each A_i all affine modules between two ReLUs.
    They are found by applying the modules, in float64, to 0 and to the unit vectors, so they are
    what is evaluated, parametrised weights and padding included. The model stays as it is.

    Args:
        model: one for which ``why_not`` is None.
        input_shape: of one sample.

    Raises:
        ValueError: with the reason of ``why_not``.

    """
    reason = why_not(model)
    if reason is not None or not isinstance(model, HasLayers):
        raise ValueError(reason)
    copy = deepcopy(model).cpu().double().eval()
    groups: list[list[nn.Module]] = [[]]
    for module in copy.layers():
        if isinstance(module, nn.ReLU):
            groups.append([])
        else:
            groups[-1].append(module)
    shape, layers = tuple(input_shape), []
    for group in groups:
        layer, shape = _probe(nn.Sequential(*group), shape)
        layers.append(layer)
    return layers


def logits(layers: Sequence[AffineLayer], inputs: Array) -> Array:
    """The outputs (n, c) of flattened inputs (n, d)."""
    values = inputs.T
    for layer in layers[:-1]:
        values = np.maximum(layer.weight @ values + layer.bias[:, None], 0)
    result: Array = (layers[-1].weight @ values + layers[-1].bias[:, None]).T
    return result


@torch.no_grad()
def _probe(group: nn.Module, shape: tuple[int, ...]) -> tuple[AffineLayer, tuple[int, ...]]:
    """The affine map of modules on samples of a shape, and the shape of its values."""
    at_zero = group(torch.zeros(1, *shape, dtype=torch.float64))
    size = int(np.prod(shape))
    columns = []
    for start in range(0, size, _UNIT_VECTORS_AT_ONCE):
        rows = torch.arange(start, min(start + _UNIT_VECTORS_AT_ONCE, size))
        units = torch.zeros(len(rows), size, dtype=torch.float64)
        units[torch.arange(len(rows)), rows] = 1
        responses = group(units.view(-1, *shape)) - at_zero
        columns.append(sparse.csr_array(responses.flatten(1).numpy()))
    weight = sparse.csr_array(sparse.vstack(columns).T)
    return AffineLayer(weight, at_zero.flatten().numpy()), tuple(at_zero.shape[1:])
