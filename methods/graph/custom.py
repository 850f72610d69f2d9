"""A user's own graph equation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
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

_SAMPLE = 64


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
        ValueError: if τ is a negative number or not finite; when it is solved, if a function does
            not work element by element, or a derivative is not its derivative.

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
        """Pose it with the labels as boundary values, starting from Laplace learning."""
        tau, decays = self.tau, callable(self.tau) or self.tau > 0
        start = LinearOperator(1.0 if callable(tau) else tau)
        decay: Decay = tau if callable(tau) else _times(tau)
        self._check_functions(graph, labels, decay)
        operator = NonlinearOperator(
            self.phi,
            self.phi_derivative or derivative(self.phi),
            decay,
            self.tau_derivative or derivative(decay),
        )
        return dirichlet_problem(graph, labels, labeled, source, [start, operator], decays=decays)

    def _check_functions(self, graph: SimilarityGraph, labels: Tensor, decay: Decay) -> None:
        """Try φ and τ on values between the labels."""
        span = 1 + (labels.detach().abs().amax() if labels.numel() else 0)
        columns = labels.shape[1]
        i, j = graph.edge_index[:, :_SAMPLE, None]
        nodes = torch.arange(min(graph.num_nodes, _SAMPLE), device=labels.device)[:, None]
        q = span * _spread(len(i), columns).to(labels.device)
        u = span * _spread(len(nodes), columns).to(labels.device)
        _check_elementwise("phi", self.phi, self.phi_derivative, (q, i, j))
        _check_elementwise("tau", decay, self.tau_derivative, (u, nodes))


def _check_elementwise(
    name: str,
    function: Callable[..., Tensor],
    given: Callable[..., Tensor] | None,
    arguments: tuple[Tensor, ...],
) -> None:
    at, *nodes = arguments
    value = function(*arguments)
    if not isinstance(value, Tensor) or value.shape != at.shape or value.dtype != at.dtype:
        received = f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else value
        raise ValueError(
            f"{name}: returned {received}; must be a tensor like its first argument, here "
            f"{tuple(at.shape)} of {at.dtype}"
        )
    others = torch.cat([at[:, :1], at[:, 1:] / 2], dim=1)
    if not _equal(function(others, *nodes)[:, 0], value[:, 0]):
        raise ValueError(
            f"{name}: the value of a column depends on other columns; must be a function of "
            "each element by itself"
        )
    if given and not _equal(given(*arguments).expand_as(at), derivative(function)(*arguments)):
        raise ValueError(
            f"{name}_derivative: differs from the derivative of {name} by autograd; give the "
            "derivative in the first argument, or leave it out"
        )


def _equal(actual: Tensor, expected: Tensor) -> bool:
    """Whether both agree to 1e-6 where both are finite."""
    finite = actual.isfinite() & expected.isfinite()
    return torch.allclose(actual[finite], expected[finite], rtol=1e-6, atol=1e-9)


def _spread(rows: int, columns: int) -> Tensor:
    """Numbers (rows, columns) between −1 and 1 that hardly repeat."""
    place = torch.arange(1, rows * columns + 1, dtype=torch.float64).view(rows, columns)
    return (place * 0.6180339887498949) % 2 - 1


def _times(tau: float) -> Decay:
    def decay(u: Tensor, x: Tensor) -> Tensor:  # noqa: ARG001 (a decay's signature)
        return tau * u

    return decay
