"""A random graph with planted classes, whose best accuracies are known."""

from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from lapbench.datasets.base.node_splits import draw_nodes
from lapbench.datasets.base.nodes import node_task
from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated

_FEATURES = 16
_TRAINING = 12
_NODES_PER_CLASS = 3 * _TRAINING

Degree = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@validated
class StochasticBlocks(Dataset):
    """A planted partition with noisy features; the best accuracies are known.

    Prefer it to compare a method with the best possible one. Node i has the class i mod K. Any two
    nodes are neighbours independently of the others: with probability d_in / (n/K − 1) in the same
    class, d_out / (n − n/K) in different ones. Features are x_i = s e_c / √2 + z: c is the class,
    e_c a unit vector, and z standard normal in 16 dimensions. Any two class means are then s apart.
    Graph and features are always the same.

    With φ and Φ the density and distribution function of the standard normal, and a = s / √2:

    - no classifier of the features alone exceeds the accuracy

          A = ∫ φ(z − a) Φ(z)^(K−1) dz,

      which the class of the nearest mean has (K = 2: Φ(s/2)); 65.1 % by default;
    - an oracle that sees the features and the classes of all neighbours takes the largest
      N_c L + a x_c. N_c is the number of neighbours of class c, and L = log((K−1) d_in / d_out). In
      the limit of many nodes N_c is Poisson, p(k; d) = d^k e^(−d) / k!. With q = d_out / (K−1) the
      accuracy of the oracle is

          B = Σ_k p(k; d_in) ∫ φ(z) F(kL + a² + az)^(K−1) dz,  F(t) = Σ_j p(j; q) Φ((t − jL) / a),

      97.3 % by default (d_in > q > 0, s > 0). No method exceeds B but by chance: given these
      classes, the rest of the graph does not depend on a node's own.

    Half of the nodes are fixed as the test set. Per repetition a sixth is drawn for validation, and
    of every class 6 nodes for V_tr and 6 for V_out, all in proportion to the classes. The other
    nodes are in no split.

    Args:
        nodes: n, at least 36 of every class.
        classes: K.
        degree_within: d_in, the mean number of neighbours of a node in its own class.
        degree_between: d_out, that in all other classes together.
        signal: s, the distance of any two class means over the standard deviation of the noise.

    Raises:
        ValueError: if the classes have too few nodes for the splits or for the neighbours.

    Source: A. Condon, R. M. Karp, "Algorithms for graph partitioning on the planted partition
    model", Random Struct. Algorithms 18 (2001), for the graph; A and B are Bayes' rule.

    """

    nodes_only: ClassVar[bool] = True

    nodes: Annotated[int, Field(le=5_000)] = 300
    classes: Annotated[int, Field(ge=2, le=_FEATURES)] = 3
    degree_within: Degree = 6.0
    degree_between: Degree = 2.0
    signal: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.5

    def __post_init__(self) -> None:
        least = _NODES_PER_CLASS * self.classes
        if self.nodes < least:
            raise ValueError(
                f"nodes: received {self.nodes}; must be >= {least} with classes = {self.classes}"
            )
        size = self.nodes / self.classes
        most = {"degree_within": size - 1, "degree_between": self.nodes - size}
        for name, bound in most.items():
            if getattr(self, name) > bound:
                raise ValueError(
                    f"{name}: received {getattr(self, name)}; must be 0..{bound:.6g}, the number "
                    "of such nodes; lower it or raise nodes"
                )

    def load(self, rng: np.random.Generator) -> Task:
        """The task, training and validation nodes being drawn by ``rng``."""
        always = np.random.default_rng(0)
        classes = np.arange(self.nodes) % self.classes
        edges = self._edges(classes, always)
        means = self.signal / np.sqrt(2) * np.eye(self.classes, _FEATURES)
        x = means[classes] + always.standard_normal((self.nodes, _FEATURES))
        y = torch.from_numpy(classes).long()
        training = _TRAINING * self.classes
        rows = draw_nodes(y, self.nodes // 2, self.nodes // 6, training, rng)
        return node_task("stochastic_blocks", torch.from_numpy(x).float(), y, edges, rows)

    def _edges(self, classes: NDArray[np.int64], always: np.random.Generator) -> torch.Tensor:
        size = self.nodes / self.classes
        within = self.degree_within / (size - 1)
        between = self.degree_between / (self.nodes - size)
        draws = always.random((self.nodes, self.nodes), dtype=np.float32)
        same = classes[:, None] == classes
        linked = np.triu(np.where(same, draws < within, draws < between), k=1)
        return torch.from_numpy(np.stack(linked.nonzero())).long()
