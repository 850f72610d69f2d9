"""What attacks on the model, not on its inputs, have in common."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from lapbench.attacks._protocol import Levels
from lapbench.attacks._target import Target
from lapbench.methods._bilevel_inner import solve_laplacian
from lapbench.methods._bilevel_nodes import LaplacianModel, NodeModel
from lapbench.methods._learned_graph import Refined, within_hops
from lapbench.methods._protocol import Model
from lapbench.methods.backbones._graph import NodeNetwork
from lapbench.methods.graph.sparse import EdgePattern


def _below_one(shares: list[float]) -> list[float]:
    if shares[-1] >= 1:
        raise ValueError(f"{shares[-1]} is no share; accepted are numbers above 0 and below 1")
    return shares


Shares = Annotated[Levels, AfterValidator(_below_one)]


@torch.no_grad()
def predict_changed(target: Target, x: Tensor) -> Tensor:
    """Return log-probabilities (n, c) by the model as it now is, nothing computed in advance.

    Base sets pass through the same faults as the batch.
    """
    target.queries += 1
    predicted: Tensor = target.model(x)
    return predicted


def uses_edges(model: Model) -> bool:
    """Return whether predictions depend on the edges of a node task."""
    return isinstance(model, NodeModel) or any(
        isinstance(module, NodeNetwork) for module in model.modules()
    )


@contextmanager
def predicting_on(model: Model, edges: Tensor) -> Iterator[None]:
    """Let a model predict on edges (2, E) of its nodes, i < j, with nothing kept from others.

    Trained parameters stay as they are. In bilevel learning edges have the weights that the learned
    graph gives them, so every edge of a graph that learned one for each must be among those; the
    inner problem that is a Laplacian is solved anew, as its solution is the prediction.
    """
    with ExitStack() as stack:

        def exchange(owner: nn.Module, name: str, value: Any) -> None:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

        if isinstance(model, NodeModel):
            nodes = len(model.x)
            edges = within_hops(edges, nodes, model.head.power)
            if isinstance(model.graph, Refined):
                kept = torch.isin(_numbers(model.edge_index, nodes), _numbers(edges, nodes))
                theta = model.graph.theta.detach()[..., kept]
                exchange(model.graph, "theta", nn.Parameter(theta, requires_grad=False))
            exchange(model, "edge_index", edges)
            # Weights kept from training are forgotten; predictions find the same ones again.
            model.restore({})
        for module in model.modules():
            if isinstance(module, NodeNetwork):
                exchange(module, "edge_index", edges)
        if isinstance(model, LaplacianModel):
            exchange(model, "scores", _solve(model))
        yield


@torch.no_grad()
def _solve(model: LaplacianModel) -> Tensor:
    """Return the scores (n, c) that solve the inner problem on the model's present edges."""
    problem = replace(model.problem, pattern=EdgePattern(model.edge_index, len(model.x)))
    head = model.head.stopped(int(model.steps))
    return solve_laplacian(head, problem, model.edge_weights(model.x), model.start)


def _numbers(edges: Tensor, num_nodes: int) -> Tensor:
    """Return a number for each edge (E,), different ones for different edges."""
    return edges[0] * num_nodes + edges[1]
