"""What attacks on the model, not on its inputs, have in common."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from lapbench.attacks.base.target import Target
from lapbench.methods.base.capabilities import UsesEdges
from lapbench.methods.base.model import Model


@torch.no_grad()
def predict_changed(target: Target, x: Tensor) -> Tensor:
    """Log-probabilities (n, c) by the model as it now is, nothing computed in advance.

    Base sets pass through the same faults as the batch.
    """
    target.queries += 1
    predicted: Tensor = target.model(x)
    return predicted


def using_edges(model: Model) -> list[UsesEdges]:
    """What of a model depends on the edges of a node task: itself, or modules in it."""
    if isinstance(model, UsesEdges):
        return [model]
    return [module for module in model.modules() if isinstance(module, UsesEdges)]


@contextmanager
def predicting_on(model: Model, edges: Tensor) -> Iterator[None]:
    """Let a model predict on edges (2, E) of its nodes, i < j, with nothing kept from others."""
    with ExitStack() as stack:
        for part in using_edges(model):
            stack.enter_context(part.on_edges(edges))
        yield
