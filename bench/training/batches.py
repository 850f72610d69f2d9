"""Mini-batches of an epoch."""

from collections.abc import Callable

import torch
from torch import Tensor

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.seeds import Seeds
from lapbench.training.augmentation import augment


def make_batches(
    task: Task, seeds: Seeds, number: int, held_out: Tensor, budget: Budget
) -> list[Callable[[], Split]]:
    """What makes each batch of an epoch, in which what is held out has no class.

    Images are augmented as the budget says, by torch's generator; nodes are not.
    """
    train = task.train
    if task.nodes_only:
        y = train.y.index_fill(0, held_out.to(train.y.device), -1)
        return [lambda: Split(train.x, y)]
    order = torch.from_numpy(seeds.stream("order", number).permutation(len(train)))
    known = (train.y >= 0).cpu()
    rows = order[known[order] & ~torch.isin(order, held_out.cpu())].to(train.y.device)
    parts = _parts(rows, budget.batch_size)
    if budget.augmentation == "none":
        return [lambda part=part: Split(train.x[part], train.y[part]) for part in parts]  # type: ignore[misc]
    kind = budget.augmentation
    return [
        lambda part=part: Split(augment(train.x[part], kind), train.y[part])  # type: ignore[misc]
        for part in parts
    ]


def _parts(rows: Tensor, size: int) -> list[Tensor]:
    """Rows in batches; a single last one joins those before, as it has no variance."""
    parts = list(rows.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
