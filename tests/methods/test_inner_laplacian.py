"""The inner problem of eq. 1: its energy, minimiser and implicit gradient."""

from dataclasses import replace

import pytest
import torch
from expect_refusal import refused
from make_bilevel import (
    CLASSES,
    EDGES,
    LABELED,
    LABELS,
    NODES,
    START,
    WEIGHTS,
    dense_energy,
    dense_gradient,
    dense_minimum,
    generator,
    outer_loss,
    problem,
)
from oracle_graph import finite_differences
from torch import Tensor

from lapbench.methods.bilevel.implicit_gradient import minimize
from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem

WIDE = (
    10
    ** torch.linspace(-6, 0, EDGES.shape[1], dtype=torch.float64)[
        torch.randperm(EDGES.shape[1], generator=generator(4))
    ]
)
ZERO = torch.zeros_like(START)


def implicit(given: LaplacianProblem, weights: Tensor, start: Tensor = ZERO) -> Tensor:
    """Gradient (E,) of the outer loss at the minimum."""
    leaf = weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(outer_loss(minimize(given, leaf, start)), leaf)
    return gradient


def hessian_of(given: LaplacianProblem, weights: Tensor, values: Tensor) -> Tensor:
    jacobian = torch.autograd.functional.jacobian(dense_gradient(given, weights), values)
    return jacobian.reshape(values.numel(), values.numel())


def by_differences(given: LaplacianProblem) -> Tensor:
    """The gradient of the outer loss at the true minimum."""
    return finite_differences(
        lambda weights: outer_loss(dense_minimum(given, weights)), WEIGHTS, h=1e-3
    )


def assert_every_entry_close(gradient: Tensor, expected: Tensor) -> None:
    """To 1e-5 of each; entries below 1e-6 of the largest to 1e-11 of that."""
    floor = 1e-11 * float(expected.abs().max())
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=floor)


class TestEnergy:
    def test_with_its_derivatives_equals_eq_1_with_a_dense_laplacian(self):
        given = problem(strength=0.7, ridge=0.03)
        expected = dense_energy(given, START, WEIGHTS)
        torch.testing.assert_close(given.energy(START, WEIGHTS), expected)
        gradient = dense_gradient(given, WEIGHTS)
        torch.testing.assert_close(given.gradient(START, WEIGHTS), gradient(START))
        hessian = hessian_of(given, WEIGHTS, START)
        product = given.hessian_product(START, WEIGHTS)(START.cos())
        torch.testing.assert_close(product.flatten(), hessian @ START.cos().flatten())
        torch.testing.assert_close(given.diagonal(START, WEIGHTS).flatten(), hessian.diag())

    @pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
    def test_bound_of_the_curvature_holds_for_every_iterate_and_is_tight(self, factor: float):
        given, weights = problem(ridge=0.01), factor * WEIGHTS
        for values in (ZERO, START, 10 * START):
            largest = float(torch.linalg.eigvalsh(hessian_of(given, weights, values))[-1])
            assert largest <= given.lipschitz_constant(weights)
        assert factor != 1 or given.lipschitz_constant(weights) < 4 * largest


class TestMinimize:
    @pytest.mark.parametrize("weights", [WEIGHTS, WIDE], ids=["alike", "wide"])
    @pytest.mark.parametrize("ridge", [1e-5, 0.1])
    def test_equals_a_dense_newton_method_from_any_start(self, weights: Tensor, ridge: float):
        given = problem(ridge=ridge)
        minimum = dense_minimum(given, weights)
        for start in (ZERO, START, 30 * START):
            scores = minimize(given, weights, start)
            torch.testing.assert_close(scores, minimum, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("ridge", [1e-5, 1e-2])
    def test_gradient_equals_finite_differences_of_the_true_minimum_on_every_edge(
        self, ridge: float
    ):
        given = problem(ridge=ridge)
        assert_every_entry_close(implicit(given, WEIGHTS), by_differences(given))

    def test_gradient_under_weights_of_very_different_size(self):
        """As the differences of so small weights drown, by the dense implicit function theorem."""
        given = problem()
        values = dense_minimum(given, WIDE)
        jacobian = torch.autograd.functional.jacobian
        mixed = jacobian(lambda weights: dense_gradient(given, weights)(values), WIDE)
        outer = jacobian(outer_loss, values).flatten()
        adjoint = torch.linalg.solve(hessian_of(given, WIDE, values), outer)
        expected = -mixed.reshape(len(adjoint), -1).T @ adjoint
        assert_every_entry_close(implicit(given, WIDE), expected)

    def test_without_ridge_but_with_all_classes(self):
        """Scores may then differ by one number, which no outer loss sees."""
        given = problem(ridge=0.0)
        minimum, gradient = dense_minimum(given, WEIGHTS), by_differences(given)
        for start in (ZERO, START):
            scores = minimize(given, WEIGHTS, start)
            torch.testing.assert_close(scores - scores.mean(), minimum, rtol=1e-7, atol=1e-7)
            assert_every_entry_close(implicit(given, WEIGHTS, start), gradient)

    def test_has_no_second_derivative_and_no_first_where_none_is_asked_for(self):
        assert not minimize(problem(), WEIGHTS, ZERO).requires_grad
        leaf = WEIGHTS.clone().requires_grad_()
        loss = outer_loss(minimize(problem(), leaf, ZERO))
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()

    def test_a_solve_that_does_not_converge_warns(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("lapbench.methods.bilevel.implicit_gradient._NEWTON_STEPS", 1)
        with pytest.warns(RuntimeWarning, match=r"1 Newton steps; .*ridge"):
            minimize(problem(), WEIGHTS, ZERO)


class TestComponents:
    """Nodes 10 (labelled, class 2) and 11 have no edge, 12 and 13 none but theirs."""

    EDGES = torch.cat((EDGES, torch.tensor([[12], [13]])), dim=1)
    WEIGHTS = torch.cat((WEIGHTS, WEIGHTS[:1]))

    def given(self, ridge: float = 1e-5) -> LaplacianProblem:
        return problem(
            self.EDGES,
            NODES + 4,
            labeled=torch.cat((LABELED, torch.tensor([10]))),
            labels=torch.cat((LABELS, torch.tensor([2]))),
            ridge=ridge,
        )

    def gradient(self, given: LaplacianProblem, outer: list[int], labels: list[int]) -> Tensor:
        leaf = self.WEIGHTS.clone().requires_grad_()
        scores = minimize(given, leaf, leaf.new_zeros(NODES + 4, CLASSES))
        loss = torch.nn.functional.cross_entropy(scores[outer], torch.tensor(labels))
        (gradient,) = torch.autograd.grad(loss, leaf)
        return gradient

    @pytest.mark.parametrize("scale", [0.0, 1.0])
    def test_scores_where_no_label_leads_are_zero_from_any_start(self, scale: float):
        start = scale * torch.randn(NODES + 4, CLASSES, generator=generator(5)).double()
        scores = minimize(self.given(), self.WEIGHTS, start)
        torch.testing.assert_close(scores, dense_minimum(self.given(), self.WEIGHTS))
        assert float(scores[11:].abs().max()) < 1e-6
        assert scores[10].argmax() == 2
        assert bool((scores[10].abs() < 100).all())

    def test_their_edges_have_a_gradient_of_zero_and_all_others_a_finite_one(self):
        gradient = self.gradient(self.given(), [2, 12], [1, 0])
        assert bool(gradient.isfinite().all())
        assert bool((gradient[:-1] != 0).any())
        assert float(gradient[-1].abs()) < 1e-10

    def test_without_ridge_the_component_that_lacks_a_class_is_named(self):
        with refused(ValueError, "node 10", "1 of 3"):
            self.given(ridge=0.0)

    def test_without_ridge_components_without_labels_stay_zero_and_teach_nothing(self):
        given = problem(self.EDGES, NODES + 4, ridge=0.0)
        scores = minimize(given, self.WEIGHTS, self.WEIGHTS.new_zeros(NODES + 4, CLASSES))
        assert bool((scores[10:] == 0).all())
        both, one = self.gradient(given, [2, 12], [1, 0]), self.gradient(given, [2], [1])
        torch.testing.assert_close(2 * both, one, rtol=1e-5, atol=1e-9)

    def test_no_edges_at_all(self):
        """Each labelled node fits its own label, all others are 0."""
        given = problem(torch.empty(2, 0, dtype=torch.int64), ridge=0.1)
        scores = minimize(given, WEIGHTS[:0], START)
        others = torch.ones(NODES, dtype=torch.bool).index_fill(0, LABELED, False)
        assert torch.equal(scores[LABELED].argmax(dim=1), LABELS)
        assert float(scores[others].abs().max()) < 1e-9

    def test_no_labelled_node_is_refused(self):
        with refused(ValueError, "V_tr: received no node"):
            replace(problem(), labeled=LABELED[:0], labels=LABELS[:0])
