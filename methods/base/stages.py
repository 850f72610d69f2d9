"""One forward and backward pass of a graph classifier in stages, for timing."""

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lapbench.methods.base.capabilities import Stage
from lapbench.methods.graph import (
    GraphLearningLayer,
    Status,
    nearest_neighbors,
    similarity_graph,
    solve_graph_equation,
)

Loss = Callable[[Tensor, Tensor], Tensor]


class StagedPass:
    """A pass whose stages each use what the one before left.

    A tenth of the rows, the first of known class, is labelled; 100 rows up to 1,100 rows in all.
    """

    def __init__(self, features: Tensor, y: Tensor, num_classes: int) -> None:
        count = len(y) // 10 if len(y) > 1_100 else min(100, len(y) // 2)
        self.features = features.detach().requires_grad_()
        self.labeled = (y >= 0).nonzero()[:count, 0]
        self.labels = functional.one_hot(y[self.labeled], num_classes).to(features.dtype)
        self.unlabeled_y = y.index_fill(0, self.labeled, -1)

    def stages(self, layer: GraphLearningLayer, loss: Loss) -> dict[str, Stage]:
        """The stages by name, in their order; ``features.grad`` is what they end with."""
        self.layer, self.loss = layer, loss
        return {
            "neighbours": self.find_neighbors,
            "graph": self.build_graph,
            "solve": self.solve,
            "adjoint": self.differentiate_weights,
            "features gradient": self.differentiate_features,
        }

    def find_neighbors(self) -> None:
        """Search the neighbours."""
        self.neighbors = nearest_neighbors(self.layer.kernel.embed(self.features), self.layer.k)

    def build_graph(self) -> None:
        """Join them, with weights."""
        symmetrize: Literal["max"] | None = None if self.layer.equation.directed else "max"
        self.graph = similarity_graph(self.features, self.neighbors, self.layer.kernel, symmetrize)

    def solve(self) -> dict[str, float]:
        """Solve the equation, and return the iterations that it took."""
        solution = solve_graph_equation(self.graph, self.labels, self.labeled, self.layer.equation)
        if solution.status is not Status.CONVERGED:
            warnings.warn(f"graph equation {solution.status.value}", RuntimeWarning, stacklevel=2)
        self.values = solution.values
        return {"solve_iterations": solution.iterations}

    def differentiate_weights(self) -> None:
        """Find the gradient of the loss in the weights."""
        loss = self.loss(self.values, self.unlabeled_y)
        (self.gradient,) = torch.autograd.grad(loss, self.graph.weights)

    def differentiate_features(self) -> None:
        """Find the gradient in the features from that in the weights."""
        (self.features.grad,) = torch.autograd.grad(
            self.graph.weights, self.features, self.gradient
        )
