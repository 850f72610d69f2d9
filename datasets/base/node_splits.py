"""Splits of graphs that come without any: the test nodes are fixed, the others drawn."""

import numpy as np
import torch
from torch import Tensor

from lapbench.datasets.base.draws import draw_rows


def draw_nodes(
    y: Tensor, test: int, validation: int, training: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Disjoint nodes of every part, as :func:`lapbench.datasets.base.nodes.node_task` wants.

    In each part every class has its share, to one node. Nodes that are left over are in no part.

    Args:
        y: (n,) classes of all nodes.
        test: how many nodes, always the same ones.
        validation: how many.
        training: how many; half of them are V_tr ("inner"), half V_out ("outer").
        rng: what draws validation and training.

    Raises:
        ValueError: if there are fewer nodes.

    """
    classes = y.numpy().astype(np.uint8)
    rest, tested = draw_rows(classes, test, None, np.random.default_rng(0))
    drawn, validated = draw_rows(classes[rest], validation, training, rng)
    train = rest[drawn]
    inner, outer = draw_rows(classes[train], training // 2, None, rng)
    parts = {
        "inner": train[inner],
        "outer": train[outer],
        "validation": rest[validated],
        "test": tested,
    }
    return {part: torch.from_numpy(nodes) for part, nodes in parts.items()}
