"""The message-passing network of the bilevel paper."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.methods.base.backbone import Backbone
from lapbench.methods.base.node_network import InputLayer, NodeNetwork
from lapbench.methods.graph.messages import Messages


@validated
class GNN(Backbone):
    """Message passing with sums over neighbours, for the nodes of a graph.

    A layer is X ↦ φ(X W₁ + A X W₂ + 1 bᵀ) with A (n, n) the matrix of edge weights and φ = ReLU.
    The last one ends before its weights: the features are [X, A X] (n, 2·``width``), of which
    a linear classifier makes X W₁ + A X W₂ + 1 bᵀ, the paper's output layer. So ``layers`` counts
    the classifier, and the features of a node are a function of the edges alone that have an end
    less than ``layers`` hops from it.

    Neither inputs nor sums are normalised: data sets give inputs as they should be. Prefer
    ``appnp`` where degrees differ much, or information is to come from afar.

    Args:
        width: size of the hidden layers.
        layers: rounds of message passing k.

    Source: bilevel paper, section 1 (the layer) and section 6 (2 layers, width 128); Morris et al.
    (2019), Weisfeiler and Leman go neural, which is ``torch_geometric.nn.GraphConv``.

    """

    width: Annotated[int, Field(ge=1)] = 128
    layers: Annotated[int, Field(ge=2)] = 2

    def build(self, task: Task) -> nn.Module:
        """The network for the task's nodes.

        Raises:
            ValueError: if the task has no graph.

        """
        return _Network(task, self.width, self.layers)


class _Network(NodeNetwork):
    """The hidden layers, each followed by its own ReLU, and the sums of the last layer."""

    def __init__(self, task: Task, width: int, layers: int) -> None:
        super().__init__("gnn", task, feature_size=2 * width, reach=layers)
        inputs = [task.train.x.shape[1]] + [width] * (layers - 2)
        self.convolutions = nn.ModuleList([_Convolution(size, width) for size in inputs])
        self.activations = nn.ModuleList([nn.ReLU() for _ in inputs])

    def forward(
        self, x: Tensor, edge_index: Tensor | None = None, edge_weight: Tensor | None = None
    ) -> Tensor:
        edges, weights = self.messages(x, edge_index, edge_weight)
        messages = Messages(edges[0], edges[1], len(x))
        for convolution, activation in zip(self.convolutions, self.activations, strict=True):
            x = activation(convolution(x, messages, weights))
        if weights is None:
            weights = x.new_ones(edges.shape[1])
        return torch.cat((x, messages.sum(weights, x)), dim=1)


class _Convolution(nn.Module):
    """X W₁ + A (X W₂) + 1 bᵀ: as ``GraphConv``, but with sums as wide as the output.

    ``torch_geometric.nn.GraphConv`` sums inputs, (A X) W₂, and keeps a row for every edge: with
    Cora's 1,433 columns that takes many times as long.
    (A child of a module must not be called ``root``, a name of ``higher``'s.)
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own = InputLayer(inputs, outputs)
        self.neighbors = InputLayer(inputs, outputs, bias=False)

    def forward(self, x: Tensor, messages: Messages, weights: Tensor | None) -> Tensor:
        own: Tensor = self.own(x)
        if weights is None:
            weights = own.new_ones(len(messages.senders))
        return own + messages.sum(weights, self.neighbors(x))
