"""Every equation on every kernel, dtype and label set: solution, adjoint and gradient."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
from make_graphs import (
    CLASSES,
    EQUATIONS,
    KERNELS,
    LABELED,
    NODES,
    TOLERANCES,
    Case,
    Tolerance,
    features,
    library_solution,
    oracle_solution,
    random,
)
from oracle_graph import component_means, dense_components, relative_error, slopes
from torch import Tensor

from lapbench.methods.graph import SimilarityGraph, Status, solve_graph_equation

ALL = [Case(*cell) for cell in product(EQUATIONS, KERNELS, LABELED, TOLERANCES)]
OF_ONE_KERNEL = [case for case in ALL if case.kernel == "self-tuning"]
OF_ONE_SET = [case for case in ALL if case.labeled == "one" and case.dtype == torch.float64]
ON_CUDA = [
    replace(case, device="cuda")
    for case in OF_ONE_KERNEL
    if case.labeled == "one" and torch.cuda.is_available()
]
# p-Laplace takes long, is solved in float64 always, and sees no more of a kernel than others.
QUICK = [case for case in ALL if not case.row.path or case in OF_ONE_KERNEL]
OF_BOTH_SETS = [case for case in OF_ONE_KERNEL if not case.row.path or case in OF_ONE_SET]
CASES = [case for case in ALL if case in QUICK or case.dtype == torch.float64] + ON_CUDA


def differentiable(cases: list[Case]) -> list[Case]:
    """Those whose values are exact enough for finite differences."""
    return [case for case in cases if case.row.differences and case.dtype == torch.float64]


def every(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=str)


def tolerance_of(case: Case) -> Tolerance:
    common = TOLERANCES[case.dtype]
    return replace(common, values=max(common.values, case.row.values))


def upstream(case: Case) -> Tensor:
    """Gradient of a linear objective J(u)."""
    return random(NODES, CLASSES, seed=3).to(case.device, case.dtype)


@every(CASES)
def test_solution_has_no_residual_and_is_that_of_a_dense_solve(case: Case):
    """Its status is that of its components; at p = 10 and τ = 0 it may be ill-conditioned."""
    solution, problem, tolerance = library_solution(case), case.problem(), tolerance_of(case)
    values = solution.values.detach().double().cpu()
    size = problem.weights.sum(dim=1).max() + problem.source.abs().max()
    assert case.row.residual(problem, values).abs().max() <= tolerance.residual * size
    assert relative_error(values, oracle_solution(case)) <= tolerance.values
    assert solution.values.dtype == case.dtype
    reached = not bool(problem.unreached.any())
    expected = {Status.CONVERGED if reached else Status.DISCONNECTED}
    if not case.row.differences:
        expected |= {Status.ILL_CONDITIONED}
    assert solution.status in expected


@every([case for case in [*OF_ONE_KERNEL, *ON_CUDA] if case.row.bounded])
def test_solution_without_source_stays_between_the_labels(case: Case):
    case = replace(case, sourced=False)
    values, labels = library_solution(case).values, case.inputs()[0]
    slack = TOLERANCES[case.dtype].values
    assert (values <= labels.amax(dim=0) + slack).all()
    assert (values >= labels.amin(dim=0) - slack).all()


@every([case for case in OF_ONE_SET if case.row.anonymous])
def test_solution_moves_with_the_nodes(case: Case):
    """Other names for the nodes permute it."""
    labels, labeled, source = case.inputs()
    order = torch.randperm(NODES, generator=torch.Generator().manual_seed(0))
    graph, where = case.graph(features()[order]), order.argsort()[labeled]
    moved = solve_graph_equation(graph, labels, where, case.row.equation, source[order]).values
    expected = library_solution(case).values[order]
    assert relative_error(moved, expected) <= tolerance_of(case).values


@every([*OF_ONE_KERNEL, *ON_CUDA])
def test_solution_does_not_depend_on_the_order_of_edges(case: Case):
    graph = case.graph()
    order = torch.randperm(len(graph.weights), generator=torch.Generator().manual_seed(0))
    order, reverse = order.to(case.device), graph.weights_reverse
    reverse = None if reverse is None else reverse[order]
    shuffled = SimilarityGraph(graph.edge_index[:, order], graph.weights[order], NODES, reverse)
    expected = library_solution(case).values
    assert relative_error(case.solve(shuffled).values, expected) <= tolerance_of(case).values


def admissible(case: Case) -> Tensor:
    """A random change of u that keeps labels, means, and all that the equation leaves no say."""
    problem, change = case.problem(), random(NODES, CLASSES, seed=5)
    if case.equation.startswith("poisson"):
        degrees = problem.weights.sum(dim=1)
        measure = degrees if case.equation == "poisson-degree" else torch.ones_like(degrees)
        return change - component_means(problem.weights, change, measure)
    fixed = torch.zeros(NODES, 1).bool()
    if not case.equation.startswith("soft"):
        fixed = fixed | problem.is_labeled
    if getattr(case.row.equation, "tau", 0.0) == 0:
        fixed = fixed | problem.unreached
    return torch.where(fixed, 0, change)


@every([*OF_ONE_SET, *(case for case in ON_CUDA if case.dtype == torch.float64)])
def test_adjoint_identity_holds_for_the_source(case: Case):
    """<h, ∇J> = <Ah, v> with v = dJ/df, A the dense derivative of the residual at u."""
    labels, labeled, source = case.inputs()
    source.requires_grad_()
    values = solve_graph_equation(case.graph(), labels, labeled, case.row.equation, source).values
    (adjoint,) = torch.autograd.grad((values * upstream(case)).sum(), source)
    problem, change = case.problem(), admissible(case)
    _, image = torch.autograd.functional.jvp(
        lambda at: case.row.residual(problem, at), values.detach().cpu(), change
    )
    terms = image * adjoint.cpu(), change * upstream(case).cpu()
    size = terms[0].norm() + terms[1].norm()
    assert abs(terms[0].sum() - terms[1].sum()) <= 1e-8 * size


def objective_of(case: Case, varied: str) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """J as a function of the weights, labels or source, or of features through the graph."""
    labels, labeled, source = case.inputs()
    graph = case.graph()
    # All positive, so that a step leaves them so.
    lifted = graph.weights.detach() + 0.1
    reverse = None if graph.weights_reverse is None else graph.weights_reverse.detach() + 0.1
    places = {
        "features": features().to(case.device),
        "weights": lifted,
        "weights_reverse": reverse,
        "labels": labels,
        "source": source,
    }

    def objective(at: Tensor) -> Tensor:
        given = {**places, varied: at}
        edges = graph.edge_index
        if varied == "features":
            moved = case.graph(at)
        else:
            moved = SimilarityGraph(edges, given["weights"], NODES, given["weights_reverse"])
        arguments = given["labels"], labeled, case.row.equation, given["source"]
        return (solve_graph_equation(moved, *arguments).values * upstream(case)).sum()

    return objective, places[varied]


VARIED = [
    *product(differentiable([*OF_BOTH_SETS, *ON_CUDA]), ["weights", "labels", "source"]),
    *product(
        differentiable([*(case for case in OF_ONE_SET if case in QUICK), *ON_CUDA]), ["features"]
    ),
    *product(
        [case for case in differentiable(OF_ONE_KERNEL) if case.row.directed], ["weights_reverse"]
    ),
]


@pytest.mark.parametrize(("case", "varied"), VARIED, ids=str)
def test_gradient_matches_finite_differences(case: Case, varied: str):
    """Of fourth order, in two random directions."""
    objective, at = objective_of(case, varied)
    directions = random(at.numel(), 2, seed=6).to(at)
    point = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(point), point)
    expected = slopes(objective, at, directions, case.row.step)
    error = relative_error(directions.T @ gradient.view(-1), expected)
    assert error <= tolerance_of(case).gradient


def test_table_has_two_components():
    for kernel in KERNELS:
        assert dense_components(Case("wnll", kernel).problem().weights).shape[1] == 2
