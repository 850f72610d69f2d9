"""Differentiating through the steps of an inner optimiser."""

from collections.abc import Callable
from typing import Any, Literal

import higher
import torch
from torch import Tensor, nn

InnerOptimizer = Literal["adam", "gradient-descent", "heavy-ball"]
MOMENTUM = 0.97

Loss = Callable[[Any], Tensor]


def make_inner_optimizer(
    module: nn.Module, kind: InnerOptimizer, learning_rate: float
) -> torch.optim.Optimizer:
    """The optimiser of an inner problem; heavy ball has the momentum 0.97."""
    if kind == "adam":
        return torch.optim.Adam(module.parameters(), lr=learning_rate)
    momentum = MOMENTUM if kind == "heavy-ball" else 0.0
    return torch.optim.SGD(module.parameters(), lr=learning_rate, momentum=momentum)


def unroll(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    differentiable_steps: int,
    loss: Loss,
    detached_loss: Loss,
    observe: Callable[[Any], None],
) -> Any:
    """Minimise a loss of a module, and return the module after the last step.

    The returned module holds its parameters as functions of what the loss depends on, through the
    last ``differentiable_steps`` (all: unrolled, fewer: truncated, 0: not at all). Their memory
    grows with these steps, each of which keeps the parameters and the state of the optimiser.

    Quirks of ``higher``: only the forward of the module itself may be called, not those of its
    children or other methods, and none of them may be called ``root``. Adam's ε is divided by the
    root of the bias correction, unlike in torch, which matters where gradients are not far above ε;
    where the second moment of a gradient is exactly 0, no gradient flows through it. A truncated
    Adam takes over torch's count of steps in float32, and with it a bias correction that is wrong
    by up to 2e-5 of itself.

    Args:
        module: with the parameters to start from; they are changed by steps that are not
            differentiable.
        optimizer: of all its parameters.
        steps: of the optimiser.
        differentiable_steps: the last of them.
        loss: of a module.
        detached_loss: the same, without dependence on what is learned outside.
        observe: called with the module after every step.

    """
    module.requires_grad_(True)
    for _ in range(steps - differentiable_steps):
        optimizer.zero_grad()
        with torch.enable_grad():
            detached_loss(module).backward()
        optimizer.step()
        observe(module)
    if differentiable_steps == 0:
        return module
    with higher.innerloop_ctx(module, optimizer) as (fast, differentiable):
        for _ in range(differentiable_steps):
            differentiable.step(loss(fast))  # Bilevel section 6
            observe(fast)
    return fast
