"""Arrays of a model for figures."""

from typing import Any

import numpy as np
import torch

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.capabilities import numbers_of
from lapbench.methods.base.model import Model
from lapbench.methods.base.smoothness import Power, smoothness_by_depth
from lapbench.training.events import Epoch

_SMOOTHNESS_BATCH = 100


@torch.no_grad()
def label_smoothness(
    model: Model, train: Split, power: Power, nodes_only: bool
) -> np.ndarray[Any, Any]:
    """Label smoothness (batches, layers) on full batches of known samples, or on all nodes."""
    model.eval()
    if nodes_only:
        return smoothness_by_depth(model, train.x, train.y, power)[None].cpu().numpy()
    known = train.y >= 0
    x, y = train.x[known], train.y[known]
    full = len(y) // _SMOOTHNESS_BATCH * _SMOOTHNESS_BATCH or len(y)
    batches = zip(x[:full].split(_SMOOTHNESS_BATCH), y[:full].split(_SMOOTHNESS_BATCH), strict=True)
    rows = [smoothness_by_depth(model, *batch, power) for batch in batches]
    return torch.stack(rows).cpu().numpy()


@torch.no_grad()
def snapshot(model: Model, task: Task, epoch: Epoch) -> dict[str, np.ndarray[Any, Any]]:
    """Features of the training samples after an epoch, and the method's own arrays."""
    model.eval()
    features = model.features(task.train.x).cpu().numpy()
    own = {
        f"{name}_{epoch.number:06d}": array.detach().cpu().numpy()
        for name, array in numbers_of(model).arrays().items()
    }
    return own | {
        f"features_{epoch.number:06d}": features,
        "labels": task.train.y.cpu().numpy(),
        "held_out": epoch.held_out.cpu().numpy(),
    }
