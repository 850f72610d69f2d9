"""One table of graph equations, kernels, dtypes and label sets."""

from dataclasses import dataclass, replace
from functools import cache

import torch
from oracle_graph import (
    Problem,
    Residual,
    boundary_problem,
    cubic,
    dense_matrix,
    linear,
    one_sided,
    poisson,
    power,
    reaction,
    soft_constraint,
    solve_densely,
    wnll,
)
from torch import Tensor

from lapbench.methods.graph import (
    WNLL,
    Cosine,
    FixedBandwidth,
    GraphEquation,
    Laplace,
    NeighborBandwidth,
    PLaplace,
    Poisson,
    Radial,
    SelfTuning,
    SimilarityGraph,
    SoftConstraint,
    Solution,
    knn_graph,
    solve_graph_equation,
)

NODES, CLASSES, NEIGHBORS = 17, 2, 4
# Nodes 0 to 10 are one component and 11 to 16 the other, by distance and by angle.
LABELED = {"all": [0, 3, 8, 10, 12, 16], "one": [0, 3, 8, 10]}


@dataclass(frozen=True)
class Tolerance:
    """Largest errors: of the residual to the size of its terms, and of values, relative."""

    residual: float
    values: float
    gradient: float = 1e-6


TOLERANCES = {torch.float64: Tolerance(1e-9, 1e-8), torch.float32: Tolerance(1e-5, 1e-4)}

KERNELS = {
    "self-tuning": SelfTuning(),
    "fixed": FixedBandwidth(1.5),
    "neighbor": NeighborBandwidth(rank=3),
    "cosine": Cosine(),
    "radial": Radial(lambda squared: 1 / (1 + squared) ** 2),
}


@dataclass(frozen=True)
class Row:
    """An equation of the library, and the residual (n, c) that defines its solution.

    Attributes:
        equation: as the library takes it.
        residual: its definition.
        path: easier residuals, from which the dense solve starts.
        directed: whether it takes w(x, y) ≠ w(y, x).
        bounded: whether it has a maximum principle.
        anonymous: whether all nodes are alike to it.
        differences: whether its values are exact enough for finite differences.
        values: tolerance of its values where that of the dtype is too strict.
        step: of finite differences.

    """

    equation: object
    residual: Residual
    path: tuple[Residual, ...] = ()
    directed: bool = False
    bounded: bool = False
    anonymous: bool = True
    differences: bool = True
    values: float = 0.0
    step: float = 1e-4

    def solve(self, problem: Problem) -> Tensor:
        """The solution (n, c) that the definition gives."""
        return solve_densely(problem, [*self.path, self.residual])


def p_laplace(p: float, tau: float, **options: float | bool) -> Row:
    # φ bends on the scale δ = 1e-4.
    steps = (2.0, 3.0, 4.0, 5.5, 7.5) if p > 5 else (2.0,)
    path = tuple(boundary_problem(power(step), tau) for step in steps)
    row = Row(PLaplace(p, tau), boundary_problem(power(p), tau), path, bounded=tau == 0, step=1e-5)
    return replace(row, **options)


EQUATIONS = {
    "laplace": Row(Laplace(), boundary_problem(), bounded=True),
    "laplace-tau": Row(Laplace(0.1), boundary_problem(tau=0.1)),
    "soft": Row(SoftConstraint(2.0), soft_constraint(2.0, 0.0), bounded=True),
    "soft-tau": Row(SoftConstraint(0.5, 0.1), soft_constraint(0.5, 0.1)),
    "p1.5": p_laplace(1.5, 0.0),
    "p2": p_laplace(2.0, 0.0),
    "p3": p_laplace(3.0, 0.0),
    "p5": p_laplace(5.0, 0.0),
    "p3-tau": p_laplace(3.0, 0.1),
    "p10-tau": p_laplace(10.0, 0.01),
    "p10": p_laplace(10.0, 0.0, differences=False, values=1e-6),
    "poisson": Row(Poisson(), poisson(False)),
    "poisson-degree": Row(Poisson("degree"), poisson(True)),
    "wnll": Row(WNLL(), wnll(1), directed=True, bounded=True),
    "wnll-ratio": Row(WNLL("ratio"), wnll(0), directed=True, bounded=True),
    "user-linear": Row(GraphEquation(linear), boundary_problem(), bounded=True),
    "user-cubic": Row(
        GraphEquation(cubic, reaction), boundary_problem(cubic, reaction), anonymous=False
    ),
    "user-nodes": Row(
        GraphEquation(one_sided, 0.1), boundary_problem(one_sided, 0.1), anonymous=False
    ),
}


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def features() -> Tensor:
    """Two groups that no edge joins."""
    centers = torch.tensor([[3.0, 0.0, 0.0]] * 11 + [[0.0, 0.0, 3.0]] * 6)
    return centers + 0.7 * random(NODES, 3, seed=4)


@dataclass(frozen=True)
class Case:
    """A cell of the table; ``sourced`` chooses a random source, else it is absent."""

    equation: str
    kernel: str = "self-tuning"
    labeled: str = "all"
    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    sourced: bool = True

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.equation}-{self.kernel}-{self.labeled}-{dtype}-{self.device}"

    @property
    def row(self) -> Row:
        return EQUATIONS[self.equation]

    def graph(self, at: Tensor | None = None) -> SimilarityGraph:
        at = (features() if at is None else at).to(self.device, self.dtype)
        symmetrize = None if self.row.directed else "max"
        return knn_graph(at, NEIGHBORS, KERNELS[self.kernel], symmetrize=symmetrize)

    def inputs(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Labels, labelled nodes and source."""
        labeled = torch.tensor(LABELED[self.labeled], device=self.device)
        labels = random(len(labeled), CLASSES, seed=1).to(self.device, self.dtype)
        source = 0.3 * random(NODES, CLASSES, seed=2).to(self.device, self.dtype)
        return labels, labeled, source if self.sourced else None

    def solve(self, graph: SimilarityGraph | None = None) -> Solution:
        labels, labeled, source = self.inputs()
        graph = graph or self.graph()
        return solve_graph_equation(graph, labels, labeled, self.row.equation, source)

    def problem(self) -> Problem:
        """The same in float64 on the CPU, with the library's weights."""
        labels, labeled, source = self.inputs()
        source = torch.zeros(NODES, CLASSES) if source is None else source
        return Problem(
            dense_graph(self.graph()), labels.double().cpu(), labeled.cpu(), source.double().cpu()
        )


def dense_graph(graph: SimilarityGraph) -> Tensor:
    """Matrix w(x, y) (n, n) in float64 on the CPU."""
    parts = [graph.edge_index, graph.weights.double(), graph.weights_reverse]
    edges, weights, reverse = (None if part is None else part.detach().cpu() for part in parts)
    reverse = None if reverse is None else reverse.double()
    return dense_matrix(edges, weights, graph.num_nodes, reverse)


@cache
def library_solution(case: Case) -> Solution:
    return case.solve()


@cache
def oracle_solution(case: Case) -> Tensor:
    return case.row.solve(case.problem())
