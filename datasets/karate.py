"""Zachary's karate club, the smallest of the graphs that everyone knows."""

from typing import ClassVar

import networkx
import numpy as np
import torch

from lapbench.datasets.base.node_splits import draw_nodes
from lapbench.datasets.base.nodes import node_task, undirected
from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated

_TEST, _VALIDATION, _TRAINING = 18, 8, 8


@validated
class Karate(Dataset):
    """34 members of a karate club and their 78 friendships; no download.

    Prefer it where a graph must be seen whole, or a test must be quick. The classes are the two
    factions into which the club split, 17 members each; friendships are not weighted. Members have
    no features but who they are: x is the identity matrix (34 × 34).

    18 members are fixed as the test set; 8 for validation, 4 for V_tr and 4 for V_out are drawn per
    repetition. Each part has as many members of either faction.

    Source: W. W. Zachary, "An information flow model for conflict and fission in small groups",
    J. Anthropol. Res. 33 (1977); ``networkx.karate_club_graph``.
    """

    nodes_only: ClassVar[bool] = True

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation members being drawn by ``rng``."""
        club = networkx.karate_club_graph()
        y = torch.tensor([int(club.nodes[member]["club"] == "Officer") for member in club])
        edges = undirected(torch.tensor(list(club.edges)).T, len(y))
        rows = draw_nodes(y, _TEST, _VALIDATION, _TRAINING, rng)
        return node_task("karate", torch.eye(len(y)), y, edges, rows)
