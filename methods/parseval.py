"""Parseval training."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lapbench.datasets.base.validated import validated
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model


@validated
class Parseval(Term):
    r"""Parseval training: keeps the weights of every layer close to a tight frame.

    After each step of the optimiser every linear and convolutional layer, its weight W written as
    (out, in·k_h·k_w), takes

    .. math:: W \leftarrow (1 + \beta) W - \beta W W^\top W,

    one step of gradient descent on (β/4)‖WᵀW − I‖². A convolution applies W/√(2 k_h k_w + 1): use
    a backbone with batch normalisation, or each 3×3 layer makes its signal 4.4 times smaller and
    little is learned (``small_cnn`` stays at 33 % on digits, ``small_resnet`` does not).
    Sums of branches are the backbone's: ``small_resnet.combination = "convex"``.

    Args:
        beta: β; larger values pull harder.

    Source: label-smoothness paper, appendix A, eq. 7 (whose factor ½ is a slip for ¼) and 8, and
    its authors' code for k_h·k_w; Cisse et al., "Parseval networks", ICML 2017.

    """

    beta: Annotated[float, Field(gt=0, le=0.5)] = 0.01

    def prepare(self, model: Model) -> None:
        """Divide the weight of every convolution by √(2 k_h k_w + 1)."""
        for layer in list(model.modules()):
            if isinstance(layer, nn.Conv2d):
                height, width = layer.kernel_size
                scale = (2 * height * width + 1) ** -0.5
                parametrize.register_parametrization(layer, "weight", _Scaled(scale))

    @torch.no_grad()
    def after_step(self, model: Model) -> None:
        """Make the orthogonality step on the weights that are being trained."""
        for weight in _weights(model):
            if weight.requires_grad:
                rows = weight.flatten(1)
                gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
                product = gram @ rows if len(rows) <= rows.shape[1] else rows @ gram
                # Smoothness eq. 8
                weight.copy_(((1 + self.beta) * rows - self.beta * product).view_as(weight))


class _Scaled(nn.Module):
    """The weight that is applied, as a multiple of the one that is trained."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return self.scale * weight


def _weights(model: Model) -> Iterator[nn.Parameter]:
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight: Any = layer.weight
            if parametrize.is_parametrized(layer, "weight"):
                weight = cast("Any", layer.parametrizations)["weight"].original
            yield weight
