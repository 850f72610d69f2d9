"""Laws of the graph equations: by hand, in their limits, and where two of them are the same."""

import pytest
import torch
from make_graphs import EQUATIONS, dense_graph, random
from make_small_graph import LABELED, LABELS, NODES, ONE_HOT, SOURCE, graph, solve
from oracle_exact import EXACT
from oracle_graph import Problem, boundary_problem, dense_root, linear, power, relative_error
from torch import Tensor

from lapbench.methods.graph import (
    WNLL,
    Equation,
    GraphEquation,
    Laplace,
    PLaplace,
    Poisson,
    SimilarityGraph,
    SoftConstraint,
    Status,
    solve_graph_equation,
)


def path(*weights: float, dtype: torch.dtype = torch.float64) -> SimilarityGraph:
    first = torch.arange(len(weights))
    values = torch.tensor(weights, dtype=dtype, requires_grad=True)
    return SimilarityGraph(torch.stack([first, first + 1]), values, len(weights) + 1)


def gradients(equation: Equation) -> list[Tensor]:
    """Of a linear objective, for weights, labels and source."""
    at = graph()
    inputs = [part.clone().requires_grad_() for part in (at.weights, LABELS, SOURCE)]
    weighted = SimilarityGraph(at.edge_index, inputs[0], NODES)
    solution = solve_graph_equation(weighted, inputs[1], LABELED, equation, inputs[2])
    return list(torch.autograd.grad((solution.values * random(NODES, 3, seed=4)).sum(), inputs))


@pytest.mark.parametrize("p", [1.5, 1.9, 2.0, 2.5, 3.0, 5.0, 10.0])
def test_p_laplace_divides_a_step_between_two_links(p: float):
    """w₀ u^(p−1) = w₁ (1 − u)^(p−1) on a path of three nodes, as δ vanishes."""
    labels, ends = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([0, 2])
    values = solve_graph_equation(path(2.0, 0.5), labels, ends, PLaplace(p)).values
    ratio = (0.5 / 2.0) ** (1 / (p - 1))
    assert values[1].item() == pytest.approx(ratio / (1 + ratio), rel=1e-5)


@pytest.mark.parametrize(
    ("equation", "value"),
    [(PLaplace(1.5), 0.7), (PLaplace(3.0), 0.7), (PLaplace(10.0), 0.7), (Poisson(), 0.0)],
)
def test_class_whose_labels_are_constant_is_degenerate(equation: Equation, value: float):
    at = graph()
    weights = at.weights.clone().requires_grad_()
    weighted = SimilarityGraph(at.edge_index, weights, NODES)
    labels = torch.full((4, 1), 0.7, dtype=torch.float64)
    solution = solve_graph_equation(weighted, labels, LABELED, equation)
    assert solution.status is Status.DEGENERATE
    assert (solution.values - value).abs().max() < 1e-12
    (gradient,) = torch.autograd.grad(solution.values.square().sum(), weights)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("p", [1.5, 3.0, 10.0])
def test_gradient_between_constant_components_is_finite(p: float, dtype: torch.dtype):
    """An edge of weight 0 between two of them: its derivative is beyond float32 for p = 10."""
    links = path(1e-8, 0.0, 1e-8, dtype=dtype)
    labels, ends = torch.tensor([[0.0], [1.0]], dtype=dtype), torch.tensor([0, 3])
    solution = solve_graph_equation(links, labels, ends, PLaplace(p))
    (gradient,) = torch.autograd.grad(solution.values.square().sum(), links.weights)
    assert solution.status is Status.DEGENERATE
    assert gradient.isfinite().all()


class TestPoisson:
    def test_of_two_nodes_follows_ohm(self):
        """w (u₀ − u₁) = (g₀ − g₁)/2, and u₀ = −u₁."""
        labels = torch.tensor([[3.0], [1.0]]).double()
        values = solve_graph_equation(path(0.5), labels, torch.tensor([0, 1]), Poisson()).values
        torch.testing.assert_close(values, torch.tensor([[1.0], [-1.0]]).double())

    @pytest.mark.parametrize("source", [None, SOURCE], ids=["labels", "source"])
    def test_has_mean_zero_by_nodes_or_by_degrees(self, source: Tensor | None):
        by_nodes, by_degree = (
            solve(Poisson(name), ONE_HOT, source).values for name in ("none", "degree")
        )
        assert by_nodes.sum(dim=0).abs().max() < 1e-10
        assert (graph().degrees() @ by_degree).abs().max() < 1e-10
        difference = by_nodes - by_degree
        torch.testing.assert_close(difference, difference[:1].expand(NODES, -1))
        assert difference.abs().max() > 1e-3
        if source is None:
            assert by_nodes.sum(dim=1).abs().max() < 1e-10
            assert by_degree.sum(dim=1).abs().max() < 1e-10


def test_wnll_of_all_nodes_labelled_is_their_labels():
    labels, everyone = random(NODES, 3, seed=5), torch.arange(NODES)
    solution = solve_graph_equation(graph(directed=True), labels, everyone, WNLL())
    assert torch.equal(solution.values, labels)


@pytest.mark.parametrize("tau", [0.0, 0.1])
def test_soft_constraint_has_its_limits(tau: float):
    """The hard one, with an error of 1/λ; and the label mean or 0 as λ vanishes."""
    hard = solve(Laplace(tau)).values
    errors = [
        strength * relative_error(solve(SoftConstraint(strength, tau)).values, hard)
        for strength in (1e4, 1e5, 1e6)
    ]
    assert errors[0] > 0
    assert max(errors) / min(errors) < 1.01
    values = solve(SoftConstraint(1e-9, tau), source=None).values
    expected = LABELS.mean(dim=0) if tau == 0 else torch.zeros(3).double()
    torch.testing.assert_close(values, expected.expand(NODES, -1), atol=1e-6, rtol=0)


def weighted_by_nodes(q: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return (1 + (x % 3 - y % 3) / 4) * q


def reaction(u: Tensor, x: Tensor) -> Tensor:
    return u**3 + x * u


def slope_of_power_3(q: Tensor, *_: Tensor) -> Tensor:
    return (2 * q**2 + 1e-8) / (q**2 + 1e-8).sqrt()


SAME: dict[str, tuple[Equation, Equation]] = {
    "p-2": (PLaplace(2.0), Laplace()),
    "p-2-tau": (PLaplace(2.0, 0.1), Laplace(0.1)),
    "linear": (GraphEquation(linear), Laplace()),
    "linear-tau": (GraphEquation(linear, 0.1), Laplace(0.1)),
    "linear-tau-function": (GraphEquation(linear, lambda u, _: 0.1 * u), Laplace(0.1)),
    "even-part": (GraphEquation(lambda q, *_: q + q**2 + 3), Laplace()),
    "even-in-nodes": (GraphEquation(weighted_by_nodes), Laplace()),
    "p-3": (GraphEquation(power(3.0)), PLaplace(3.0)),
    "p-1.5-tau": (GraphEquation(power(1.5), 0.1), PLaplace(1.5, 0.1)),
    "derivatives": (
        GraphEquation(power(3.0), reaction),
        GraphEquation(power(3.0), reaction, slope_of_power_3, lambda u, x: 3 * u**2 + x),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_equations_that_are_the_same_have_one_solution_and_gradient(name: str):
    equation, same = SAME[name]
    assert relative_error(solve(equation).values, solve(same).values) < 1e-9
    for actual, expected in zip(gradients(equation), gradients(same), strict=True):
        assert relative_error(actual, expected) < 1e-7


def test_flux_that_depends_on_the_nodes_is_another_weight():
    at = graph()
    factor = (1 + at.edge_index.sum(dim=0) % 3).double()
    other = SimilarityGraph(at.edge_index, factor * at.weights, NODES)
    expected = solve_graph_equation(other, LABELS, LABELED, Laplace(), SOURCE).values
    values = solve(GraphEquation(lambda q, x, y: (1 + (x + y) % 3) * q)).values
    assert relative_error(values, expected) < 1e-10


def test_flux_may_differ_between_columns():
    scale = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    values = solve(GraphEquation(lambda q, *_: scale * q, lambda u, _: u)).values
    for column, factor in enumerate(scale):
        single = GraphEquation(lambda q, *_, factor=factor: factor * q, 1.0)
        at = slice(column, column + 1)
        expected = solve(single, LABELS[:, at], SOURCE[:, at]).values
        torch.testing.assert_close(values[:, at], expected)


def test_tensors_in_a_flux_have_gradients():
    """Scaling φ by a scales the weights: a dJ/da = Σ w dJ/dw."""
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    solution = solve(GraphEquation(lambda q, *_: scale * (q + q**3)))
    objective = (solution.values * random(NODES, 3, seed=4)).sum()
    (gradient,) = torch.autograd.grad(objective, scale)
    for_weights = gradients(GraphEquation(lambda q, *_: 1.5 * (q + q**3)))[0]
    torch.testing.assert_close(scale * gradient, (graph().weights * for_weights).sum())


def test_reaction_without_labels_is_driven_by_its_source():
    """τ(u) = u³ + u decides u in every component."""
    equation = GraphEquation(linear, lambda u, x: u**3 + u + 0 * x)
    solution = solve_graph_equation(graph(), LABELS[:0], LABELED[:0], equation, SOURCE)
    matrix = dense_graph(graph())
    laplacian = torch.diag(matrix.sum(dim=1)) - matrix
    expected = dense_root(lambda u: u**3 + u + laplacian @ u - SOURCE, torch.zeros_like(SOURCE))
    assert relative_error(solution.values, expected) < 1e-9


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


@pytest.mark.parametrize("name", [*EXACT, "p2"])
def test_oracles_agree(name: str):
    """Newton's method on the residual, and elimination with fractions."""
    weights = dense_graph(graph(EQUATIONS[name].directed))[:9, :9] + 0.1
    problem = Problem(weights, LABELS[:2], torch.tensor([2, 5]), SOURCE[:9])
    expected = EXACT["laplace" if name == "p2" else name](problem)
    assert relative_error(EQUATIONS[name].solve(problem), expected) < 1e-12
