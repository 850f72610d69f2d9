"""What the backbones of node tasks have in common: the graph, from the task or given at a call."""

import torch
from torch import Tensor, nn

from lapbench.datasets.base.task import Task
from lapbench.methods.base.capabilities import UsesEdges
from lapbench.methods.graph.constant import ConstantMatrix


class InputLayer(nn.Linear):
    """A linear layer, whose input may be a ``ConstantMatrix`` too."""

    def forward(self, x: Tensor | ConstantMatrix) -> Tensor:
        """``X Wᵀ + 1 bᵀ``."""
        if not isinstance(x, ConstantMatrix):
            return super().forward(x)
        product = x @ self.weight.T.contiguous()
        return product if self.bias is None else product + self.bias


class NodeNetwork(nn.Module, UsesEdges):
    """A network from the inputs of all nodes (n, d) to their features, on the task's graph.

    Its ``forward(x, edge_index=None, edge_weight=None)`` takes

    - x (b·n, d): b copies of the n nodes one below the other, each of which gets the edges; or one
      copy as a ``ConstantMatrix``, which saves time where inputs are mostly 0;
    - edge_index (2, E): each undirected edge (i, j) once; the task's where none is given. With it,
      x may also be a part of the nodes, fewer than n, and the edges those between its rows;
    - edge_weight: (E,) weights A_ij = A_ji, or (2, E) with A_ij in the first row and A_ji in the
      second; 1 where none are given.

    Features are those of the matrix A of the weights: node i receives Σ_j A_ij x_j. They are
    differentiable twice in weights, parameters and dense inputs.

    The class is no ``ABC``: ``higher`` derives from it, and could not if it were.

    Args:
        name: of the backbone, for messages.
        task: a node task, whose edges become the buffer ``edge_index`` outside the state.
        feature_size: columns of the output.
        reach: k if the features of a node are a function of the edges alone that have an end less
            than k hops from it; None if any edge of its component may count.

    Raises:
        ValueError: if the task has no graph; in ``forward``, if rows or weights do not fit.

    """

    def __init__(self, name: str, task: Task, feature_size: int, reach: int | None) -> None:
        super().__init__()
        if task.edge_index is None:
            raise ValueError(
                f"{name}: received {task.name}, a task without a graph; must be a node task, "
                "which has an edge_index; use mlp for vectors and small_cnn for images"
            )
        self.name = name
        self.nodes = len(task.train)
        self.feature_size = feature_size
        self.reach = reach
        self.register_buffer("edge_index", task.edge_index, persistent=False)

    def messages(
        self, x: Tensor | ConstantMatrix, edge_index: Tensor | None, edge_weight: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Edges (2, 2bE) from sender to receiver, and their weights (2bE,) or None.

        Arguments are those of ``forward``.
        """
        i, j = self.edge_index if edge_index is None else edge_index
        nodes = self.nodes
        if edge_index is not None and 0 < len(x) < nodes:
            nodes = len(x)
        copies = self._copies(x, nodes)
        if edge_weight is not None:
            if edge_weight.shape not in ((len(i),), (2, len(i))):
                raise ValueError(
                    f"{self.name}: received edge_weight {tuple(edge_weight.shape)}; must be "
                    f"({len(i)},) or, for directed weights, (2, {len(i)}): one for each edge"
                )
            edge_weight = edge_weight.expand(2, -1).flatten().repeat(copies)
        both = torch.stack((torch.cat((j, i)), torch.cat((i, j))))
        offsets = nodes * torch.arange(copies, device=both.device)
        return (both[:, None] + offsets[:, None]).flatten(1), edge_weight

    def _copies(self, x: Tensor | ConstantMatrix, nodes: int) -> int:
        copies, rest = divmod(len(x), nodes)
        sparse = isinstance(x, ConstantMatrix)
        if rest or not copies or (sparse and copies > 1):
            kind = "sparse inputs" if sparse else "inputs"
            accepted = f"{nodes} rows" if sparse else f"a multiple of {nodes} rows"
            raise ValueError(
                f"{self.name}: received {kind} {tuple(x.shape)}; must be {accepted}, one for "
                "each node of the graph; give all its nodes at once, or edge_index with a part"
            )
        return copies
