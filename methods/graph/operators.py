"""The left-hand side τ(u, x) + div φ(∇u) of a graph equation, and its linearisation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lapbench.methods.graph.block import FreeBlock
from lapbench.methods.graph.knn import NonFiniteError
from lapbench.methods.graph.laplacian import SimilarityGraph

Flux = Callable[[Tensor, Tensor, Tensor], Tensor]
"""φ(q, x, y), elementwise, for q (E, c) and the nodes x and y (E, 1)."""

Decay = Callable[[Tensor, Tensor], Tensor]
"""τ(u, x), elementwise, for u (n, c) and the nodes x (n, 1)."""


@dataclass(frozen=True, eq=False)
class LinearOperator:
    """τ(x) u + Δu, with τ a number or one for each node, (n, 1)."""

    tau: float | Tensor

    def residual(self, graph: SimilarityGraph, values: Tensor) -> Tensor:
        """τu + Δu at every node."""
        return self.tau * values + graph.laplacian_product(values)

    def linearize(
        self,
        graph: SimilarityGraph,
        values: Tensor,  # noqa: ARG002 (linear: the same everywhere)
        free: Tensor,
    ) -> FreeBlock:
        """Matrix τ + Δ at the free nodes."""
        return FreeBlock(graph.pattern, graph.weights.detach(), self.tau, free)


@dataclass(frozen=True, eq=False)
class NonlinearOperator:
    r"""τ(u, x) + div φ(∇u) for elementwise functions φ and τ and their derivatives.

    The divergence antisymmetrises, so that only the skew part of φ acts,

    .. math:: \tilde\varphi(q, x, y) = (\varphi(q, x, y) - \varphi(-q, y, x)) / 2,

    and the matrix of the derivative is symmetric for every φ (GLL paper, eq. 7).
    """

    phi: Flux
    phi_derivative: Flux
    tau: Decay
    tau_derivative: Decay

    def _flux(self, graph: SimilarityGraph, values: Tensor) -> Tensor:
        i, j = graph.edge_index
        x, y = i[:, None], j[:, None]
        q = values[i] - values[j]
        return graph.weights[:, None] * (self.phi(q, x, y) - self.phi(-q, y, x)) / 2

    def magnitude(self, graph: SimilarityGraph, values: Tensor) -> Tensor:
        """‖τ(u)‖ + ‖w φ(∇u)‖ (c,), the size of the terms of the residual."""
        decay = self.tau(values, _nodes(values)).expand_as(values)
        size: Tensor = decay.norm(dim=0) + self._flux(graph, values).norm(dim=0)
        return size

    def residual(self, graph: SimilarityGraph, values: Tensor) -> Tensor:
        """τ(u, x) + div φ(∇u) at every node."""
        i, j = graph.edge_index
        flux = self._flux(graph, values)
        # GLL eq. 7
        divergence = torch.zeros_like(values).index_add(0, i, flux).index_add(0, j, -flux)
        return self.tau(values, _nodes(values)) + divergence  # GLL eq. 19

    @torch.no_grad()
    def linearize(self, graph: SimilarityGraph, values: Tensor, free: Tensor) -> FreeBlock:
        """Matrix τ_u + div(φ_q ∇) at the free nodes, one for each column."""
        i, j = graph.edge_index
        x, y = i[:, None], j[:, None]
        q = values[i] - values[j]
        slope = (self.phi_derivative(q, x, y) + self.phi_derivative(-q, y, x)) / 2
        weights = (graph.weights[:, None] * slope).expand_as(q)
        tau = self.tau_derivative(values, _nodes(values)).expand_as(values)
        for name, slopes in (("phi", slope), ("tau", tau)):
            if not bool(slopes.isfinite().all()):
                raise NonFiniteError(
                    f"{name}: its derivative is NaN or infinite at values that are needed; the "
                    f"values are between {float(values.min()):g} and {float(values.max()):g}"
                )
        return FreeBlock(graph.pattern, weights, tau, free)


Operator = LinearOperator | NonlinearOperator


def derivative(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Derivative of an elementwise function in its first argument, by autograd."""

    def differentiated(at: Tensor, *nodes: Tensor) -> Tensor:
        with torch.enable_grad():
            at = at.detach().requires_grad_()
            value = function(at, *nodes).expand_as(at)
            if not value.requires_grad:
                return torch.zeros_like(at)
            (slope,) = torch.autograd.grad(value.sum(), at, allow_unused=True)
        return torch.zeros_like(at) if slope is None else slope

    return differentiated


def _nodes(values: Tensor) -> Tensor:
    return torch.arange(len(values), device=values.device)[:, None]
