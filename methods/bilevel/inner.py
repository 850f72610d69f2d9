"""The inner problems of bilevel learning, solved in the way that a head asks for."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lapbench.methods.bilevel.implicit_gradient import minimize
from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem
from lapbench.methods.bilevel.learned_graph import undirected_weights
from lapbench.methods.bilevel.network_problem import NetworkProblem
from lapbench.methods.bilevel.options import BilevelOptions
from lapbench.methods.bilevel.unrolling import make_inner_optimizer, unroll


class Scores(nn.Module):
    """The scores Y (n, c) of all nodes, as what an inner optimiser moves."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(start.clone())

    def forward(self, problem: LaplacianProblem, weights: Tensor) -> Tensor:
        """The energy of the scores."""
        return problem.energy(self.values, weights)


def solve_laplacian(
    head: BilevelOptions,
    problem: LaplacianProblem,
    weights: Tensor,
    start: Tensor,
    observe: Callable[[Tensor], None] = lambda _: None,
) -> Tensor:
    """The scores (n, c) that solve eq. 1, differentiable in weights (E,) or (2, E).

    Args:
        head: says how.
        problem: F.
        weights: of the edges.
        start: (n, c), where the steps begin; the implicit solution does not depend on it.
        observe: called with the scores, after every step where there are steps.

    """
    undirected = undirected_weights(weights)
    if head.hypergradient == "implicit":
        values = minimize(problem, undirected.double(), start.double(), head.tolerance)
        observe(values)
        return values.to(weights.dtype)
    precise = undirected.to(getattr(torch, head.precision))
    fixed = precise.detach()
    scores = Scores(start.to(precise.dtype))
    rate = head.rate
    if head.inner_optimizer != "adam":
        rate /= problem.lipschitz_constant(fixed)
    solved = unroll(
        scores,
        make_inner_optimizer(scores, head.inner_optimizer, rate),
        head.steps,
        head.differentiable_steps if precise.requires_grad else 0,
        lambda module: module(problem, precise),
        lambda module: module(problem, fixed),
        lambda module: observe(module.values),
    )
    result: Tensor = solved.values if precise.requires_grad else solved.values.detach()
    return result.to(weights.dtype)


def solve_network(
    head: BilevelOptions,
    problem: NetworkProblem,
    network: nn.Module,
    weights: Tensor,
    observe: Callable[[Any], None],
) -> Any:
    """A network that solves eq. 2, its parameters differentiable in weights.

    Args:
        head: says how.
        problem: training on V_tr.
        network: a copy of it where training begins, which may be changed.
        weights: (E,) or (2, E) of the edges.
        observe: called with the network after every step.

    """
    fixed = weights.detach()
    return unroll(
        network,
        make_inner_optimizer(network, head.inner_optimizer, head.rate),
        head.steps,
        head.differentiable_steps if weights.requires_grad else 0,
        lambda module: problem.energy(module, weights),
        lambda module: problem.energy(module, fixed),
        observe,
    )
