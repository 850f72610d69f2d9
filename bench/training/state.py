"""The state of a training after an epoch: all that the next one depends on."""

from typing import Any

import torch

from lapbench.methods.base.capabilities import HasCheckpointState
from lapbench.methods.base.model import Model

State = dict[str, Any]
"""Tensors, numbers, texts, and lists and tables of them: what ``weights_only=True`` reads."""


def training_state(
    epoch: int,
    model: Model,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> State:
    """What training goes on from after an epoch; :func:`lapbench.training.loop.train`."""
    more = model.checkpoint_state() if isinstance(model, HasCheckpointState) else {}
    return {
        "epoch": epoch,
        "model": model.state_dict(),
        "checkpoint_state": more,
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "generator": torch.get_rng_state(),
    }


def restore_model(model: Model, state: State) -> None:
    """Bring a model, and torch's generator, to where ``training_state`` found them."""
    model.load_state_dict(state["model"])
    if isinstance(model, HasCheckpointState):
        model.resume(state["checkpoint_state"])
    torch.set_rng_state(state["generator"])
