"""Hypergradients through inner steps, against finite differences of the same steps."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from make_bilevel import (
    CLASSES,
    EDGES,
    LABELED,
    LABELS,
    NODES,
    START,
    WEIGHTS,
    build,
    dense_gradient,
    generator,
    karate,
    outer_loss,
    path,
    problem,
)
from make_cells import create
from oracle_graph import dense_matrix, finite_differences, relative_error
from torch import Tensor
from torch.nn import functional

from lapbench.datasets.base.nodes import node_task
from lapbench.datasets.base.task import Task
from lapbench.methods.bilevel import Bilevel
from lapbench.methods.bilevel.inner import solve_laplacian, solve_network
from lapbench.methods.bilevel.network_problem import GraphNetwork, NetworkProblem, neighborhood

STEPS = 6
X = torch.randn(NODES, 4, dtype=torch.float64, generator=generator(6))
DIRECTED = torch.stack((WEIGHTS, WEIGHTS.flip(0)))

Gradient = Callable[[list[Tensor]], list[Tensor]]


def head(optimizer: str = "adam", steps: int = STEPS, **options: Any) -> Bilevel:
    rate = {"adam": 0.1, "gradient-descent": 1.5, "heavy-ball": 3.0}[optimizer]
    chosen = {"hypergradient": "unrolled", "inner_learning_rate": rate} | options
    return Bilevel(inner_steps=steps, inner_optimizer=optimizer, **chosen)


def run(
    chosen: Bilevel, rate: float, start: list[Tensor], gradients: list[Gradient]
) -> list[Tensor]:
    """Inner steps by hand, one for each gradient; ``higher`` takes the last, with another ε."""
    optimizer, at = chosen.inner_optimizer, start
    by_torch = chosen.inner_steps - chosen.differentiable_steps
    first, second = ([torch.zeros_like(part) for part in start] for _ in range(2))
    for step, gradient in enumerate(gradients, start=1):
        found = gradient(at)
        if optimizer == "adam":
            first = [0.9 * m + 0.1 * g for m, g in zip(first, found, strict=True)]
            second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, found, strict=True)]
            corrected = (1 - 0.999**step) ** 0.5
            epsilon = 1e-8 * (corrected if step <= by_torch else 1)
            size = rate * corrected / (1 - 0.9**step)
            moves = [m / (v.sqrt() + epsilon) for m, v in zip(first, second, strict=True)]
        else:
            momentum, size = (0.97 if optimizer == "heavy-ball" else 0.0), rate
            moves = first = [momentum * m + g for m, g in zip(first, found, strict=True)]
        at = [part - size * move for part, move in zip(at, moves, strict=True)]
    return at


def laplacian_map(chosen: Bilevel, weights: Tensor) -> Tensor:
    """Scores after the steps, the first of which know the unchanged weights alone."""
    given, rate = problem(), chosen.inner_learning_rate
    if chosen.inner_optimizer != "adam":
        rate /= given.lipschitz_constant(WEIGHTS)
    gradients: list[Gradient] = [
        lambda at, known=known: [dense_gradient(given, known)(at[0])]
        for known in known_weights(chosen, WEIGHTS, weights)
    ]
    return run(chosen, rate, [START], gradients)[0]


def known_weights(chosen: Bilevel, unchanged: Tensor, weights: Tensor) -> list[Tensor]:
    frozen = chosen.inner_steps - chosen.differentiable_steps
    return [unchanged] * frozen + [weights] * chosen.differentiable_steps


def gnn_scores(parameters: list[Tensor], weights: Tensor) -> Tensor:
    """Two layers with a dense matrix, in the order of the network's parameters."""
    own, bias, neighbors, last, last_bias = parameters
    forth, back = weights.expand(2, -1)
    adjacency = dense_matrix(EDGES, forth, NODES, back)
    hidden = (X @ own.T + bias + adjacency @ X @ neighbors.T).relu()
    return torch.cat((hidden, adjacency @ hidden), dim=1) @ last.T + last_bias


def gnn_gradient(weights: Tensor) -> Gradient:
    def gradient(at: list[Tensor]) -> list[Tensor]:
        leaves = [part.detach().requires_grad_() for part in at]
        loss = functional.cross_entropy(gnn_scores(leaves, weights)[LABELED], LABELS)
        return list(torch.autograd.grad(loss, leaves))

    return gradient


def gnn() -> GraphNetwork:
    rows = dict.fromkeys(("outer", "validation", "test"), LABELED[:0]) | {"inner": LABELED}
    task = node_task("graph", X, torch.arange(NODES) % CLASSES, EDGES, rows)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = create("backbones", "gnn", width=3).build(task)
        return GraphNetwork(backbone, CLASSES).double()


def gradient_of(solve: Callable[[Tensor], Tensor], weights: Tensor) -> Tensor:
    leaf = weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(outer_loss(solve(leaf)), leaf)
    return gradient


OPTIMIZERS = ["adam", "gradient-descent", "heavy-ball"]
TRUNCATED = {"hypergradient": "truncated", "truncation": 2}


class TestLaplacian:
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize(
        "options", [{}, TRUNCATED, TRUNCATED | {"truncation": 4}], ids=["all", "2", "4"]
    )
    def test_hypergradient_equals_finite_differences_of_the_steps(
        self, optimizer: str, options: dict[str, Any]
    ):
        chosen = head(optimizer, **options)
        solved = solve_laplacian(chosen, problem(), WEIGHTS.clone().requires_grad_(), START)
        torch.testing.assert_close(
            solved.detach(), laplacian_map(chosen, WEIGHTS), rtol=2e-5, atol=2e-5
        )
        found = gradient_of(lambda w: solve_laplacian(chosen, problem(), w, START), WEIGHTS)
        expected = finite_differences(
            lambda w: outer_loss(laplacian_map(chosen, w)), WEIGHTS, h=1e-4
        )
        assert relative_error(found, expected) < 1e-5

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_truncation_of_all_steps_is_unrolling(self, optimizer: str):
        unrolled, truncated = head(optimizer), head(optimizer, **TRUNCATED | {"truncation": STEPS})
        first, second = (
            gradient_of(lambda w, h=h: solve_laplacian(h, problem(), w, START), WEIGHTS)
            for h in (unrolled, truncated)
        )
        assert torch.equal(first, second)

    def test_two_weights_an_edge_share_the_hypergradient_of_their_mean(self):
        found = gradient_of(lambda w: solve_laplacian(head(), problem(), w, START), DIRECTED)
        alone = gradient_of(
            lambda w: solve_laplacian(head(), problem(), w, START), DIRECTED.mean(dim=0)
        )
        torch.testing.assert_close(found, torch.stack((alone, alone)) / 2)

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_steps_without_hypergradient_are_the_same_and_all_are_observed(self, optimizer: str):
        seen: list[Tensor] = []
        with torch.no_grad():
            found = solve_laplacian(
                head(optimizer), problem(), WEIGHTS, START, lambda y: seen.append(y.clone())
            )
        assert not found.requires_grad
        assert len(seen) == STEPS
        assert torch.equal(seen[-1], found)
        leaf = WEIGHTS.clone().requires_grad_()
        other = solve_laplacian(head(optimizer), problem(), leaf, START)
        # Where a gradient is small, the two places of Adam's ε differ.
        torch.testing.assert_close(found, other.detach(), rtol=1e-3, atol=1e-3)


class TestNetwork:
    @pytest.mark.parametrize("options", [{}, TRUNCATED], ids=["all", "2"])
    @pytest.mark.parametrize("weights", [WEIGHTS, DIRECTED], ids=["undirected", "directed"])
    def test_hypergradient_equals_finite_differences_of_the_training(
        self, weights: Tensor, options: dict[str, Any]
    ):
        chosen = head(inner="network", **options)
        around = neighborhood(LABELED, X, EDGES, reach=2)
        given = NetworkProblem(around, LABELS)
        start = [part.detach().clone() for part in gnn().parameters()]

        def solve(w: Tensor) -> Tensor:
            network = solve_network(chosen, given, gnn(), w, lambda _: None)
            everywhere = neighborhood(torch.arange(NODES), X, EDGES, reach=None)
            return everywhere.scores(network, w)

        def by_hand(w: Tensor) -> Tensor:
            gradients = [gnn_gradient(known) for known in known_weights(chosen, weights, w)]
            return gnn_scores(run(chosen, 0.1, start, gradients), w)

        torch.testing.assert_close(solve(weights).detach(), by_hand(weights), rtol=1e-4, atol=1e-4)
        found = gradient_of(solve, weights)
        expected = finite_differences(lambda w: outer_loss(by_hand(w)), weights, h=1e-5)
        assert relative_error(found, expected) < 1e-5


class TestConvergence:
    def test_heavy_ball_approaches_the_implicit_hypergradient(self):
        model = build(karate(), graph="edges", hypergradient="unrolled", inner_start=0.0)
        exact = model.hypergradient(model.head.implicit())
        errors = [
            relative_error(model.hypergradient(head("heavy-ball", steps)), exact)
            for steps in (50, 200, 800)
        ]
        assert all(later < earlier for earlier, later in itertools.pairwise(errors))
        assert errors[-1] < 1e-3

    def test_memory_grows_with_the_steps_that_are_differentiated(self):
        def megabytes(**options: Any) -> float:
            model = build(karate(), graph="edges", **options)
            return model.hypergradient_numbers()["hypergradient_megabytes"]

        unrolled = [
            megabytes(hypergradient="unrolled", inner_steps=steps) for steps in (10, 20, 40)
        ]
        # A line in the number of steps.
        assert unrolled[2] - unrolled[1] == pytest.approx(2 * (unrolled[1] - unrolled[0]), rel=0.2)
        assert unrolled[1] > 1.5 * unrolled[0]
        kept = {"hypergradient": "truncated", "truncation": 10}
        assert megabytes(**kept, inner_steps=80) < unrolled[1]
        assert megabytes() < unrolled[0] / 5

    def test_a_comparison_with_the_implicit_hypergradient_names_error_and_cosine(self):
        model = build(
            karate(),
            graph="edges",
            hypergradient="unrolled",
            inner_optimizer="heavy-ball",
            inner_learning_rate=3.0,
            inner_steps=50,
        )
        found = model.hypergradient_numbers()
        first, second = (
            model.hypergradient(chosen) for chosen in (model.head, model.head.implicit())
        )
        assert found["hypergradient_error"] == pytest.approx(relative_error(first, second))
        assert found["hypergradient_cosine"] == pytest.approx(
            float(first @ second / (first.norm() * second.norm()))
        )


def far_labels() -> Task:
    """A path of thirty nodes, labelled at its start alone."""
    rows = {"inner": [0, 1], "outer": [2, 3], "validation": [4, 5], "test": [6, 7]}
    nodes = {part: torch.tensor(where) for part, where in rows.items()}
    return node_task("far", torch.eye(30), torch.arange(30) % 2, path(30), nodes)


def test_unrolling_adam_from_zero_overflows_while_its_scores_converge():
    """Where gradients are near 0, Adam divides by their root mean square, whose slope explodes."""
    options = {"graph": "edges", "inner_start": 0.0, "inner_steps": 200, "precision": "float32"}
    model = build(far_labels(), hypergradient="unrolled", **options)
    weights = model.edge_weights(model.x).detach()
    values = model.solve(model.head, model.x, weights, torch.arange(30))
    exact = model.solve(model.head.implicit(), model.x, weights, torch.arange(30))
    assert relative_error(values.softmax(dim=1), exact.softmax(dim=1)) < 0.05
    with pytest.warns(RuntimeWarning, match="unrolled"):
        found = model.hypergradient_numbers()
    assert set(found) == {"hypergradient_megabytes"}
