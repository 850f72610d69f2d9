"""A network on single nodes whose features are then spread over the graph."""

import warnings
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone
from lapbench.methods.base.node_network import InputLayer, NodeNetwork

with warnings.catch_warnings():
    # torch_geometric.nn.pool.select scripts a class when it is imported, which torch deprecates.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", DeprecationWarning)
    import torch_geometric.nn


@validated
class APPNP(Backbone):
    """Features of single nodes, smoothed by personalised PageRank on the graph.

    With H (n, d) the output of linear layer, ReLU, linear layer on each node, the features are
    Z⁽ᴷ⁾ of

        Z⁽⁰⁾ = H,   Z⁽ᵗ⁺¹⁾ = (1 − α) D^(−½) (A + I) D^(−½) Z⁽ᵗ⁾ + α H,

    where D is the diagonal of the row sums of A + I. Prefer it to ``gnn`` where labels are few and
    information has to come from afar: an edge may count for every node within ``steps`` hops. As
    its weight changes degrees too, ``reach`` names no number of hops.

    The paper spreads class scores; here the classifier comes after, which is the same for a linear
    one but for its bias. Weights must be nonnegative; edges have no dropout.

    Args:
        width: size of the hidden layer.
        feature_size: size of the output d.
        steps: K.
        teleport: α, the share that a node keeps of its own.

    Source: Gasteiger, Bojchevski and Günnemann (2019), predict then propagate: section 3;
    section 5 for width 64, K = 10 and α = 0.1. The steps are ``torch_geometric.nn.APPNP``.

    """

    width: Annotated[int, Field(ge=1)] = 64
    feature_size: Annotated[int, Field(ge=1)] = 64
    steps: Annotated[int, Field(ge=1)] = 10
    teleport: Annotated[float, Field(gt=0, le=1)] = 0.1

    def build(self, task: Task) -> nn.Module:
        """The network for the task's nodes.

        Raises:
            ValueError: if the task has no graph.

        """
        return _Network(task, self)


class _Network(NodeNetwork):
    def __init__(self, task: Task, sizes: APPNP) -> None:
        super().__init__("appnp", task, sizes.feature_size, reach=None)
        self.nodewise = nn.Sequential(
            InputLayer(task.train.x.shape[1], sizes.width),
            nn.ReLU(),
            nn.Linear(sizes.width, sizes.feature_size),
        )
        self.propagation = torch_geometric.nn.APPNP(sizes.steps, sizes.teleport)

    def forward(
        self, x: Tensor, edge_index: Tensor | None = None, edge_weight: Tensor | None = None
    ) -> Tensor:
        edges, weights = self.messages(x, edge_index, edge_weight)
        features: Tensor = self.propagation(self.nodewise(x), edges, weights)
        return features
