"""A user's own graph equation."""

from dataclasses import dataclass

from torch import Tensor

from lapbench.methods.graph.equation import Equation, Problem, check_tau, dirichlet_problem
from lapbench.methods.graph.laplacian import SimilarityGraph
from lapbench.methods.graph.operators import (
    Decay,
    Flux,
    LinearOperator,
    NonlinearOperator,
    derivative,
)


@dataclass(frozen=True)
class GraphEquation(Equation):
    r"""Any nonlinear elliptic equation on a graph, by its two functions.

    .. math:: \tau(u, x) + \mathrm{div}\, \varphi(\nabla u, \cdot)(x) = f(x), \qquad u = g
              \text{ on the labelled nodes.}

    φ need not preserve vector fields nor be symmetric: only its skew part
    (φ(q, x, y) − φ(−q, y, x))/2 acts. If φ is not elliptic (nondecreasing in q) the solution may
    not be unique, and the status may be ``SINGULAR``. Tensors that φ and τ use get gradients too.

    Args:
        phi: φ(q, x, y) for q (E, c), the differences u(x) − u(y), and the nodes x and y (E, 1)
            int64; elementwise in q, made of torch functions.
        tau: a number τ >= 0 for τu, or τ(u, x) for u (n, c) and x (n, 1), elementwise in u.
        phi_derivative: φ_q(q, x, y); by default from autograd.
        tau_derivative: τ_u(u, x); by default from autograd.

    Raises:
        ValueError: if τ is a negative number or not finite.

    Source: GLL paper, eq. 19 and definitions 1 to 3.

    """

    phi: Flux
    tau: float | Decay = 0.0
    phi_derivative: Flux | None = None
    tau_derivative: Decay | None = None

    def __post_init__(self) -> None:
        if not callable(self.tau):
            check_tau(self.tau)

    def pose(
        self, graph: SimilarityGraph, labels: Tensor, labeled: Tensor, source: Tensor
    ) -> Problem:
        """Return the problem with the labels as boundary values, starting from Laplace learning."""
        tau, decays = self.tau, callable(self.tau) or self.tau > 0
        start = LinearOperator(1.0 if callable(tau) else tau)
        decay: Decay = tau if callable(tau) else _times(tau)
        operator = NonlinearOperator(
            self.phi,
            self.phi_derivative or derivative(self.phi),
            decay,
            self.tau_derivative or derivative(decay),
        )
        return dirichlet_problem(graph, labels, labeled, source, [start, operator], decays=decays)


def _times(tau: float) -> Decay:
    def decay(u: Tensor, x: Tensor) -> Tensor:  # noqa: ARG001 (a decay's signature)
        return tau * u

    return decay
