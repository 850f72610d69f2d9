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
        new = gradient(at)
        if optimizer == "adam":
            first = [0.9 * m + 0.1 * g for m, g in zip(first, new, strict=True)]
            second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, new, strict=True)]
            corrected = (1 - 0.999**step) ** 0.5
            epsilon = 1e-8 * (corrected if step <= by_torch else 1)
            size = rate * corrected / (1 - 0.9**step)
            moves = [m / (v.sqrt() + epsilon) for m, v in zip(first, second, strict=True)]
        else:
            momentum, size = (0.97 if optimizer == "heavy-ball" else 0.0), rate
            moves = first = [momentum * m + g for m, g in zip(first, new, strict=True)]
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


each_optimizer = pytest.mark.parametrize("optimizer", ["adam", "gradient-descent", "heavy-ball"])


def truncated(steps: int) -> dict[str, Any]:
    return {"hypergradient": "truncated", "truncation": steps}


@each_optimizer
class TestLaplacian:
    @pytest.mark.parametrize("options", [{}, truncated(2), truncated(STEPS)], ids=["all", "2", "6"])
    def test_hypergradient_equals_finite_differences_of_the_steps(
        self, optimizer: str, options: dict[str, Any]
    ):
        chosen = head(optimizer, **options)
        scores = solve_laplacian(chosen, problem(), WEIGHTS.clone().requires_grad_(), START)
        by_hand = laplacian_map(chosen, WEIGHTS)
        torch.testing.assert_close(scores.detach(), by_hand, rtol=2e-5, atol=2e-5)
        gradient = gradient_of(lambda w: solve_laplacian(chosen, problem(), w, START), WEIGHTS)
        expected = finite_differences(
            lambda w: outer_loss(laplacian_map(chosen, w)), WEIGHTS, h=1e-4
        )
        assert relative_error(gradient, expected) < 1e-5

    def test_steps_without_hypergradient_are_the_same_and_all_are_observed(self, optimizer: str):
        seen: list[Tensor] = []
        with torch.no_grad():
            scores = solve_laplacian(
                head(optimizer), problem(), WEIGHTS, START, lambda y: seen.append(y.clone())
            )
        assert not scores.requires_grad
        assert len(seen) == STEPS
        assert torch.equal(seen[-1], scores)
        leaf = WEIGHTS.clone().requires_grad_()
        other = solve_laplacian(head(optimizer), problem(), leaf, START)
        # Where a gradient is small, the two places of Adam's ε differ.
        torch.testing.assert_close(scores, other.detach(), rtol=1e-3, atol=1e-3)


def test_two_weights_an_edge_share_the_hypergradient_of_their_mean():
    both, alone = (
        gradient_of(lambda w: solve_laplacian(head(), problem(), w, START), weights)
        for weights in (DIRECTED, DIRECTED.mean(dim=0))
    )
    torch.testing.assert_close(both, torch.stack((alone, alone)) / 2)


@pytest.mark.parametrize("options", [{}, truncated(2)], ids=["all", "2"])
@pytest.mark.parametrize("weights", [WEIGHTS, DIRECTED], ids=["undirected", "directed"])
def test_hypergradient_of_a_network_equals_finite_differences_of_the_training(
    weights: Tensor, options: dict[str, Any]
):
    chosen = head(inner="network", **options)
    given = NetworkProblem(neighborhood(LABELED, X, EDGES, reach=2), LABELS)
    start = [part.detach().clone() for part in gnn().parameters()]

    def solve(w: Tensor) -> Tensor:
        network = solve_network(chosen, given, gnn(), w, lambda _: None)
        return neighborhood(torch.arange(NODES), X, EDGES, reach=None).scores(network, w)

    def by_hand(w: Tensor) -> Tensor:
        gradients = [gnn_gradient(known) for known in known_weights(chosen, weights, w)]
        return gnn_scores(run(chosen, 0.1, start, gradients), w)

    torch.testing.assert_close(solve(weights).detach(), by_hand(weights), rtol=1e-4, atol=1e-4)
    gradient = gradient_of(solve, weights)
    expected = finite_differences(lambda w: outer_loss(by_hand(w)), weights, h=1e-5)
    assert relative_error(gradient, expected) < 1e-5


class TestConvergence:
    def test_heavy_ball_approaches_the_implicit_hypergradient_with_which_it_is_compared(self):
        options = {"inner_optimizer": "heavy-ball", "inner_steps": 50, "inner_learning_rate": 3.0}
        options |= {"hypergradient": "unrolled", "inner_start": 0.0}
        model = build(karate(), graph="edges", **options)
        exact = model.hypergradient(model.head.implicit())
        gradients = [model.hypergradient(head("heavy-ball", steps)) for steps in (50, 200, 800)]
        errors = [relative_error(gradient, exact) for gradient in gradients]
        assert all(later < earlier for earlier, later in itertools.pairwise(errors))
        assert errors[-1] < 1e-3
        numbers = model.hypergradient_numbers()
        first = model.hypergradient(model.head)
        assert numbers["hypergradient_error"] == pytest.approx(relative_error(first, exact))
        cosine = float(first @ exact / (first.norm() * exact.norm()))
        assert numbers["hypergradient_cosine"] == pytest.approx(cosine)

    def test_memory_grows_with_the_steps_that_are_differentiated(self):
        def megabytes(**options: Any) -> float:
            model = build(karate(), graph="edges", **options)
            return model.hypergradient_numbers()["hypergradient_megabytes"]

        ten, twenty, forty = (
            megabytes(hypergradient="unrolled", inner_steps=steps) for steps in (10, 20, 40)
        )
        # A line in the number of steps.
        assert forty - twenty == pytest.approx(2 * (twenty - ten), rel=0.2)
        assert twenty > 1.5 * ten
        assert megabytes(**truncated(10), inner_steps=80) < twenty
        assert megabytes() < ten / 5


def test_unrolling_adam_from_zero_overflows_while_its_scores_converge():
    """Where gradients are near 0, Adam divides by their root mean square, whose slope explodes."""
    # A path of thirty nodes, labelled at its start alone.
    rows = {"inner": [0, 1], "outer": [2, 3], "validation": [4, 5], "test": [6, 7]}
    nodes = {part: torch.tensor(where) for part, where in rows.items()}
    task = node_task("far", torch.eye(30), torch.arange(30) % 2, path(30), nodes)
    options = {"graph": "edges", "inner_start": 0.0, "inner_steps": 200, "precision": "float32"}
    model = build(task, hypergradient="unrolled", **options)
    weights = model.edge_weights(model.x).detach()
    scores, exact = (
        model.solve(chosen, model.x, weights, torch.arange(30)).softmax(dim=1)
        for chosen in (model.head, model.head.implicit())
    )
    assert relative_error(scores, exact) < 0.05
    with pytest.warns(RuntimeWarning, match="unrolled hypergradient"):
        numbers = model.hypergradient_numbers()
    assert set(numbers) == {"hypergradient_megabytes"}
