"""The parts V_tr and V_out of the training samples, and the tasks that are too small for both."""

import numpy as np
import torch
from torch import Tensor

from lapbench.datasets.base.task import Task
from lapbench.methods.base.base_set import order_by_class
from lapbench.methods.bilevel.options import BilevelOptions


def divide_nodes(head: BilevelOptions, task: Task) -> tuple[Tensor, Tensor]:
    """The nodes V_tr and V_out; without a learned graph, V_tr has all."""
    y = task.train.y
    known = (y >= 0).nonzero()[:, 0]
    if head.graph == "observed":
        return known, known[:0]
    if task.outer is None:
        outer = order_by_class(y, np.random.default_rng(0))[1::2]
    else:
        outer = task.outer[y[task.outer] >= 0]
    if not len(outer):
        raise ValueError(
            f"V_out: {task.name} has no labelled outer node to learn a graph from; must be one "
            'or more: use train = "all", or graph = "observed", which needs none'
        )
    inner = known[~torch.isin(known, outer)]
    lacking = set(y[outer].tolist()) - set(y[inner].tolist())
    if lacking:
        raise ValueError(
            f"V_tr: {task.name} has no labelled inner node of class {min(lacking)}, which V_out "
            "has; must be one or more of each: raise labeled, or leave it out"
        )
    return inner, outer.sort().values


def check_samples(head: BilevelOptions, task: Task) -> None:
    """Refuse a task in which a class would be missing from V_tr or from V_out."""
    smallest = int(task.train.y[task.train.y >= 0].bincount(minlength=task.num_classes).min())
    per_class = 1 if head.inner_per_class == "half" else head.inner_per_class
    if per_class >= smallest:
        raise ValueError(
            f"inner_per_class: received {head.inner_per_class!r}, but the smallest class of "
            f"{task.name} has {smallest} labelled training samples, and some must stay for "
            f"V_out; must be from 1 to {smallest - 1}, or 'half' of 2 or more"
        )
