"""Which samples of a task are used, and which of them keep their class."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.errors import LapbenchError
from lapbench.methods.base.base_set import order_by_class

_LEAST_OF_A_CLASS = 25


def shrink(task: Task, share: float, rng: np.random.Generator) -> Task:
    """A task with a share of its training and validation samples, classes in proportion.

    A class of n training samples keeps its share to one sample, and 25 at least as far as it has
    them, as base sets need some of each; of validation samples it keeps one. A graph of nodes stays
    whole.
    """
    if task.nodes_only:
        return task
    train = _spread(task.train, share, _LEAST_OF_A_CLASS, rng)
    validation = _spread(task.validation, share, 1, rng)
    return replace(task, train=train, validation=validation)


def _spread(split: Split, share: float, least: int, rng: np.random.Generator) -> Split:
    order = order_by_class(split.y, rng)
    counts = split.y[order].bincount()
    kept = (share * counts).round().long().clamp_min(least).minimum(counts)
    rank = torch.arange(len(order)) - (counts.cumsum(0) - counts)[split.y[order]]
    rows: Tensor = order[rank < kept[split.y[order]]].sort().values
    return Split(split.x[rows], split.y[rows])


def keep_labels(task: Task, count: int, rng: np.random.Generator) -> Task:
    """A task whose training samples have class −1, but ``count`` with all classes evenly.

    Where the task names V_out, samples inside and outside of it take turns in each class.
    """
    y = task.train.y
    known = int((y >= 0).sum())
    if not task.num_classes <= count <= known:
        raise LapbenchError(
            f"labeled: received {count}; {task.name} has {task.num_classes} classes and {known} "
            f"labelled training samples; must be from {task.num_classes} to {known}"
        )
    order = order_by_class(y, rng)
    outer = order[:0] if task.outer is None else task.outer
    outside = torch.isin(order, outer).long()
    group, by_group = (2 * y[order] + outside).sort(stable=True)
    order, outside = order[by_group], outside[by_group]
    starts = group.bincount(minlength=2 * task.num_classes).cumsum(0).roll(1)
    starts[0] = 0
    rank = 2 * (torch.arange(len(order)) - starts[group]) + outside
    kept = order[rank.sort(stable=True).indices[:count]]
    hidden = torch.full_like(y, -1)
    hidden[kept] = y[kept]
    return replace(task, train=Split(task.train.x, hidden))


def hide_outer(task: Task) -> Task:
    """A task whose samples V_out have class −1 in training."""
    if task.outer is None:
        raise LapbenchError(
            f'train: received "inner"; must be "all" on {task.name}, which has no outer nodes; '
            "or use a data set of nodes such as cora"
        )
    hidden = task.train.y.index_fill(0, task.outer, -1)
    return replace(task, train=Split(task.train.x, hidden))
