"""Every backbone, small enough for tests of all of them, and tasks of random images."""

from typing import Any

import torch
from table import BACKBONES, create, load_task

from lapbench.datasets.base.task import Split, Task

OPTIONS: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 20},
    "vgg": {"depth": 11},
    "wide_resnet": {"depth": 10, "factor": 1},
}


def images(
    channels: int, height: int, width: int | None = None, samples: int = 20, classes: int = 10
) -> Task:
    """Random images, as wide as high where no width is given, of all classes in turn."""
    shape = (samples, channels, height, width or height)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(samples) % classes)
    return Task("random", split, split, split, num_classes=classes, bounds=(0.0, 1.0))


def built(name: str, task: Task | None = None) -> tuple[Any, Task]:
    """A backbone, with the same weights always, for images or the nodes of a graph; and the task.

    The images are 1×8×8 where no other task is given; what takes nodes only has the karate club.
    """
    backbone, task = create("backbones", name, **OPTIONS.get(name, {})), task or images(1, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            return backbone.build(task), task
        except ValueError:
            task = load_task("karate")
            return backbone.build(task), task


IMAGE_BACKBONES = {name for name in BACKBONES if not built(name)[1].nodes_only}
