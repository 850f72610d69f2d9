"""Verdicts of the exact search."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from make_relu_networks import grid, random_layers, trained
from scipy import sparse
from scipy.optimize import OptimizeResult, linprog
from torch import Tensor, nn

from lapbench.attacks.verifier import milp as _milp
from lapbench.attacks.verifier.affine import AffineLayer, affine_layers, logits
from lapbench.attacks.verifier.bounds import Box, input_box
from lapbench.attacks.verifier.milp import exact
from lapbench.attacks.verifier.verify import verify

UNIT = (0.0, 1.0)


def least_margin_by_patterns(layers: list[AffineLayer], box: Box, y: int) -> float:
    """The least z_y − z_j over a box: a linear program for each pattern of active neurons."""
    hidden = [len(layer.bias) for layer in layers[:-1]]
    best = np.inf
    for pattern in product([0.0, 1.0], repeat=sum(hidden)):
        slope, offset = np.eye(len(box.low)), np.zeros(len(box.low))
        rows, limits = [], []
        for layer, active in zip(
            layers[:-1], np.split(np.array(pattern), np.cumsum(hidden)[:-1]), strict=True
        ):
            weight = layer.weight.toarray()
            slope, offset = weight @ slope, weight @ offset + layer.bias
            sign = 1 - 2 * active
            rows.append(sign[:, None] * slope)
            limits.append(-sign * offset)
            slope, offset = active[:, None] * slope, active * offset
        weight = layers[-1].weight.toarray()
        slope, offset = weight @ slope, weight @ offset + layers[-1].bias
        for j in range(len(offset)):
            if j != y:
                result = linprog(
                    slope[y] - slope[j],
                    A_ub=np.vstack(rows),
                    b_ub=np.concatenate(limits),
                    bounds=np.stack([box.low, box.high], axis=1),
                )
                if result.status == 0:
                    best = min(best, result.fun + offset[y] - offset[j])
    return float(best)


def least_margin_on_grid(layers: list[AffineLayer], box: Box, y: int) -> float:
    outputs = logits(layers, grid(box, 301))
    return float((outputs[:, y] - np.delete(outputs, y, axis=1).max(axis=1)).min())


class TestExactSearch:
    def test_agrees_with_all_activation_patterns_and_a_grid(self):
        result = []
        x = np.array([0.2, -0.1])
        for seed, epsilon in product((2, 7, 8, 11, 13), (0.5, 2.0)):
            layers = random_layers(2, 3, 2, 3, seed=seed)
            y = int(logits(layers, x[None])[0].argmax())
            box = input_box(x, epsilon, None)
            least = least_margin_by_patterns(layers, box, y)
            assert -1e-9 <= least_margin_on_grid(layers, box, y) - least <= 0.05
            verdict = exact(layers, x, y, epsilon, None, 60.0)
            assert verdict.outcome == ("verified" if least > 0 else "unsafe")
            result.append((verdict.outcome, verdict.by))
        for expected in (("verified", "bounds"), ("verified", "milp"), ("unsafe", "milp")):
            assert result.count(expected) >= 2

    def test_tells_radii_apart_that_differ_in_the_third_digit(self):
        """Just below the radius that bisection with the oracle gives, and just above it."""
        layers, x = random_layers(2, 3, 2, 3, seed=7), np.array([0.2, -0.1])
        y = int(logits(layers, x[None])[0].argmax())
        low, high = 0.0, 4.0
        for _ in range(12):
            middle = (low + high) / 2
            safe = least_margin_by_patterns(layers, input_box(x, middle, None), y) > 0
            low, high = (middle, high) if safe else (low, middle)
        assert 0.1 < low < 3.9
        assert exact(layers, x, y, low - 5e-3, None, 60.0).outcome == "verified"
        assert exact(layers, x, y, high + 5e-3, None, 60.0).outcome == "unsafe"

    def test_calls_a_tie_unsafe(self):
        """z_0 − z_1 = 2x, with x from 0 on."""
        layers = [AffineLayer(sparse.csr_array([[1.0], [-1.0]]), np.zeros(2))]
        assert exact(layers, np.array([0.5]), 0, 0.5, UNIT, 10.0).outcome == "unsafe"
        assert exact(layers, np.array([0.5]), 0, 0.499, UNIT, 10.0).outcome == "verified"


@pytest.mark.parametrize(
    "said",
    [
        {"status": 1, "mip_dual_bound": None},
        {"status": 1, "mip_dual_bound": -0.5},
        {"status": 0, "mip_dual_bound": 1e-7},
        {"status": 2, "mip_dual_bound": np.inf},
        {"status": 4, "mip_dual_bound": 0.5},
        {"status": 0, "mip_dual_bound": -0.5, "x": 0.5, "fun": -0.5},
        {"status": 0, "mip_dual_bound": 0.5, "x": 0.5, "fun": 1e-7},
    ],
)
def test_what_the_solver_leaves_open_is_no_verdict(
    said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """Interrupted, within its tolerances, "infeasible", or a solution that is no counterexample."""

    def solver(cost: np.ndarray, **_: Any) -> OptimizeResult:
        solution = np.full(len(cost), said["x"]) if "x" in said else None
        return OptimizeResult({"fun": None, **said, "x": solution})

    monkeypatch.setattr(_milp, "milp", solver)
    # z_0 − z_1 = 2x − 0.1 is negative for x < 0.05 alone.
    layers = [AffineLayer(sparse.csr_array([[1.0], [-1.0]]), np.array([-0.1, 0.0]))]
    assert exact(layers, np.array([0.5]), 0, 0.5, UNIT, 60.0).outcome == "timeout"


def attack(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """Projected gradient descent from five starts; images that are not fooled come back as nan."""
    best = torch.full_like(x, torch.nan)
    low, high = (x - epsilon).clamp_min(0), (x + epsilon).clamp_max(1)
    for _ in range(5):
        result = low + torch.rand_like(x) * (high - low)
        for _ in range(40):
            result.requires_grad_()
            outputs = model(result)
            own = nn.functional.one_hot(y, outputs.shape[1]).bool()
            rest = outputs.masked_fill(own, -torch.inf).max(dim=1).values
            (gradient,) = torch.autograd.grad((rest - outputs[own]).sum(), result)
            result = (result.detach() + epsilon / 8 * gradient.sign()).clamp(low, high)
        fooled = model(result).argmax(dim=1) != y
        best[fooled] = result[fooled]
    return best.detach()


class TestVerdictsOnDigits:
    @pytest.mark.parametrize(
        ("epsilon", "expected"), [(0.02, "verified"), (0.05, "verified"), (0.12, "unsafe")]
    )
    def test_no_attack_finds_what_is_called_verified(self, epsilon: float, expected: str):
        torch.manual_seed(0)
        model, task = trained()
        layers = affine_layers(model, task.input_shape)
        x, y = task.test.x[:16], task.test.y[:16]
        result = attack(model, x, y, epsilon)
        outcomes = []
        for image, label, adversarial in zip(x, y.tolist(), result, strict=True):
            verdict = verify(layers, image, label, epsilon, UNIT, 10.0)
            outcomes.append(verdict.outcome)
            if not adversarial.isnan().any():
                assert verdict.outcome != "verified"
            if verdict.outcome == "unsafe":
                assert verdict.counterexample is not None
                other = torch.from_numpy(verdict.counterexample).view_as(image)
                assert (other - image).abs().max() <= epsilon * (1 + 1e-12)
                assert UNIT[0] <= other.min() <= other.max() <= UNIT[1]
                outputs = logits(layers, verdict.counterexample[None])[0]
                assert np.delete(outputs, label).max() >= outputs[label]
            else:
                assert verdict.counterexample is None
        assert outcomes.count(expected) >= 8

    def test_what_attacks_found_is_used_and_not_trusted(self):
        torch.manual_seed(0)
        model, task = trained()
        layers = affine_layers(model, task.input_shape)
        x, y, epsilon = task.test.x[:24], task.test.y[:24], 0.12
        right = model(x).argmax(dim=1) == y
        result = attack(model, x, y, epsilon)
        row = int((~result.isnan().flatten(1).any(dim=1) & right).nonzero()[0, 0])
        options = {"y": int(y[row]), "epsilon": epsilon, "bounds": UNIT, "time_limit": 1.0}
        candidates = torch.stack([x[row], result[row]])
        verdict = verify(layers, x[row], adversarial=candidates, **options)
        assert (verdict.outcome, verdict.by) == ("unsafe", "attack")
        options["epsilon"] = 1e-6
        clipped = verify(layers, x[row], adversarial=candidates, **options)
        assert clipped.outcome == "verified"

    def test_a_wrong_prediction_is_unsafe_without_any_search(self):
        model, task = trained()
        layers = affine_layers(model, task.input_shape)
        other = (int(model(task.test.x[:1]).argmax()) + 1) % 10
        verdict = verify(layers, task.test.x[0], other, 1e-9, UNIT, 0.0)
        assert (verdict.outcome, verdict.by) == ("unsafe", "clean")

    def test_without_time_there_is_no_wrong_verdict(self):
        model, task = trained()
        layers = affine_layers(model, task.input_shape)
        for image, y in zip(task.test.x[:10], task.test.y[:10].tolist(), strict=True):
            verdict = verify(layers, image, y, 0.3, UNIT, 1e-9)
            assert verdict.outcome == "timeout" or verdict.by == "clean"

    def test_a_point_is_verified_and_the_whole_range_is_not(self):
        """Every image of another class is in the ball of radius 1."""
        model, task = trained()
        layers = affine_layers(model, task.input_shape)
        row = int((model(task.test.x).argmax(dim=1) == task.test.y).nonzero()[0, 0])
        image, y = task.test.x[row], int(task.test.y[row])
        assert verify(layers, image, y, 1e-6, UNIT, 10.0).outcome == "verified"
        everything = verify(layers, image, y, 1.0, UNIT, 60.0)
        assert (everything.outcome, everything.by) == ("unsafe", "milp")
