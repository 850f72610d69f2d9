"""Limits of the graph equations, equations that are the same, and users' own."""

import pytest
import torch
from dense_equations import Problem, boundary_problem, linear, power
from exact import EXACT
from graph_table import EQUATIONS, dense_graph, random
from oracles import dense_root, relative_error
from small_graph import LABELED, LABELS, NODES, SOURCE, graph, solve
from torch import Tensor

from lapbench.methods.graph import (
    GraphEquation,
    Laplace,
    PLaplace,
    SimilarityGraph,
    SoftConstraint,
    Status,
    solve_graph_equation,
)


def gradients(equation: object) -> list[Tensor]:
    """Of a linear objective, for weights, labels and source."""
    at = graph()
    inputs = [part.clone().requires_grad_() for part in (at.weights, LABELS, SOURCE)]
    weighted = SimilarityGraph(at.edge_index, inputs[0], NODES)
    solution = solve_graph_equation(weighted, inputs[1], LABELED, equation, inputs[2])
    return list(torch.autograd.grad((solution.values * random(NODES, 3, seed=4)).sum(), inputs))


class TestSoftConstraint:
    @pytest.mark.parametrize("tau", [0.0, 0.1])
    def test_tends_to_the_hard_one_as_its_strength_grows(self, tau: float):
        """With an error proportional to 1/strength."""
        hard = solve(Laplace(tau)).values
        errors = [
            strength * relative_error(solve(SoftConstraint(strength, tau)).values, hard)
            for strength in (1e4, 1e5, 1e6)
        ]
        assert errors[0] > 0
        assert max(errors) / min(errors) < 1.01

    @pytest.mark.parametrize("tau", [0.0, 0.1])
    def test_tends_to_the_label_mean_or_zero_as_its_strength_vanishes(self, tau: float):
        values = solve(SoftConstraint(1e-9, tau), source=None).values
        expected = LABELS.mean(dim=0) if tau == 0 else torch.zeros(3).double()
        torch.testing.assert_close(values, expected.expand(NODES, -1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("equation", "same"),
    [
        (PLaplace(2.0), Laplace()),
        (PLaplace(2.0, 0.1), Laplace(0.1)),
        (GraphEquation(linear), Laplace()),
        (GraphEquation(linear, 0.1), Laplace(0.1)),
        (GraphEquation(linear, lambda u, _: 0.1 * u), Laplace(0.1)),
        (GraphEquation(lambda q, *_: q + q**2 + 3), Laplace()),
        (GraphEquation(lambda q, x, y: (1 + (x % 3 - y % 3) / 4) * q), Laplace()),
        (GraphEquation(power(3.0)), PLaplace(3.0)),
        (GraphEquation(power(1.5), 0.1), PLaplace(1.5, 0.1)),
        (
            GraphEquation(power(3.0), lambda u, x: u**3 + x * u),
            GraphEquation(
                power(3.0),
                lambda u, x: u**3 + x * u,
                lambda q, *_: (2 * q**2 + 1e-8) / (q**2 + 1e-8).sqrt(),
                lambda u, x: 3 * u**2 + x,
            ),
        ),
    ],
    ids=[
        "p-2",
        "p-2-tau",
        "linear",
        "linear-tau",
        "linear-tau-function",
        "even-part",
        "even-in-nodes",
        "p-3",
        "p-1.5-tau",
        "derivatives",
    ],
)
def test_equations_that_are_the_same_have_one_solution_and_gradient(equation: object, same: object):
    assert relative_error(solve(equation).values, solve(same).values) < 1e-9
    for found, expected in zip(gradients(equation), gradients(same), strict=True):
        assert relative_error(found, expected) < 1e-7


def test_flux_that_depends_on_the_nodes_is_another_weight():
    def phi(q: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (1 + (x + y) % 3) * q

    at = graph()
    factor = (1 + at.edge_index.sum(dim=0) % 3).double()
    other = SimilarityGraph(at.edge_index, factor * at.weights, NODES)
    expected = solve_graph_equation(other, LABELS, LABELED, Laplace(), SOURCE).values
    assert relative_error(solve(GraphEquation(phi)).values, expected) < 1e-10


def test_tensors_in_a_flux_have_gradients():
    """Scaling φ by a scales the weights: a dJ/da = Σ w dJ/dw."""
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    solution = solve(GraphEquation(lambda q, *_: scale * (q + q**3)))
    objective = (solution.values * random(NODES, 3, seed=4)).sum()
    (found,) = torch.autograd.grad(objective, scale)
    for_weights = gradients(GraphEquation(lambda q, *_: 1.5 * (q + q**3)))[0]
    torch.testing.assert_close(scale * found, (graph().weights * for_weights).sum())


def test_reaction_without_labels_is_driven_by_its_source():
    """τ(u) = u³ + u decides u in every component."""

    def reaction(u: Tensor, x: Tensor) -> Tensor:
        return u**3 + u + 0 * x

    nobody = torch.zeros(0, dtype=torch.int64)
    equation = GraphEquation(linear, reaction)
    found = solve_graph_equation(graph(), LABELS[:0], nobody, equation, SOURCE)
    matrix = dense_graph(graph())
    laplacian = torch.diag(matrix.sum(dim=1)) - matrix
    expected = dense_root(lambda u: u**3 + u + laplacian @ u - SOURCE, torch.zeros_like(SOURCE))
    assert relative_error(found.values, expected) < 1e-9


INDEFINITE = {
    "signs": lambda q, x, y: torch.where((x + y) % 3 == 0, -1.0, 1.0) * q,
    "negative": lambda q, *_: -q,
    "bump": lambda q, *_: q - 4 * q * (-(q**2)).exp(),
    "zero": lambda q, *_: 0 * q,
    "sine": lambda q, *_: (3 * q).sin(),
}


@pytest.mark.parametrize("tau", [0.0, 0.3])
@pytest.mark.parametrize("phi", INDEFINITE)
def test_flux_that_is_not_elliptic_gives_a_solution_or_a_status(phi: str, tau: float):
    solution = solve(GraphEquation(INDEFINITE[phi], tau))
    assert solution.values.isfinite().all()
    problem = Problem(dense_graph(graph()), LABELS, LABELED, SOURCE)
    residual = boundary_problem(INDEFINITE[phi], tau)(problem, solution.values)
    solved = bool(residual.abs().max() < 1e-7)
    allowed = {Status.CONVERGED} if solved else {Status.SINGULAR, Status.NOT_CONVERGED}
    assert solution.status in allowed | {Status.ILL_CONDITIONED}


def test_negative_flux_is_solved_as_its_matrix_is_regular():
    values = solve(GraphEquation(INDEFINITE["negative"])).values
    assert relative_error(values, solve(Laplace(), source=-SOURCE).values) < 1e-9


@pytest.mark.parametrize("name", EXACT)
def test_oracles_agree(name: str):
    """Newton's method on the residual, and elimination with fractions."""
    weights = dense_graph(graph(EQUATIONS[name].directed))[:9, :9] + 0.1
    problem = Problem(weights, LABELS[:2], torch.tensor([2, 5]), SOURCE[:9])
    assert relative_error(EQUATIONS[name].solve(problem), EXACT[name](problem)) < 1e-12


def test_oracles_agree_for_a_power_of_two():
    problem = Problem(dense_graph(graph()), LABELS, LABELED, SOURCE)
    found, expected = (EQUATIONS[name].solve(problem) for name in ("p2", "laplace"))
    assert relative_error(found, expected) < 1e-12
