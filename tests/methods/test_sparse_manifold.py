"""The sparse-manifold term: like outputs and like ReLU patterns at opposite corners."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from oracle_graph import finite_differences, relative_error
from oracle_hamming import (
    EPSILON,
    SIGNS,
    TASK,
    X,
    Y,
    hamming_by_loops,
    intrinsic_by_loops,
    layer_hamming_by_loops,
    small_model,
)
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lapbench.datasets.base.task import Split, Task
from lapbench.methods import sparse_manifold
from lapbench.methods.backbones.identity import Identity
from lapbench.methods.backbones.mlp import MLP
from lapbench.methods.base.capabilities import finish
from lapbench.methods.base.model import Model
from lapbench.methods.gll import GLL
from lapbench.methods.softmax import Softmax
from lapbench.methods.sparse_manifold import SparseManifold, hamming, random_corner

each_power = pytest.mark.parametrize("power", [1, 2])


def linear_model() -> Model:
    """A softmax model in float64 without hidden layers."""
    torch.manual_seed(2)
    return Softmax().build(Identity().build(TASK), TASK).double()


def term(**options: Any) -> SparseManifold:
    """A term without schedules."""
    constant = {"epsilon": EPSILON, "epsilon_start": 1.0, "gamma_start": 1.0}
    strengths = {"gamma_intrinsic": 0.3, "gamma_hamming": 20.0}
    return SparseManifold(**(constant | strengths | options))


def penalty(model: Model, progress: float = 0.0, **options: Any) -> float:
    return term(**options).penalty(model, X, Y, progress).item()


@pytest.fixture
def _fixed_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the same corner each time."""
    monkeypatch.setattr(
        sparse_manifold, "random_corner", lambda x, epsilon: epsilon * SIGNS.to(x.dtype)
    )


class TestCorner:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_entries_are_exactly_plus_or_minus_epsilon(self, dtype: torch.dtype):
        rho = random_corner(torch.zeros(40, 3, 5, 5, dtype=dtype), 8 / 255)
        epsilon = torch.tensor(8 / 255, dtype=dtype).item()
        assert rho.shape == (40, 3, 5, 5)
        assert rho.dtype == dtype
        assert rho.unique().tolist() == [-epsilon, epsilon]

    def test_signs_are_drawn_for_every_sample_and_value_and_equal_for_equal_seeds(self):
        torch.manual_seed(0)
        rho, other = (random_corner(torch.zeros(500, 20), 1.0) for _ in range(2))
        torch.manual_seed(0)
        assert torch.equal(random_corner(torch.zeros(500, 20), 1.0), rho)
        assert not torch.equal(rho, other)
        assert len(rho.unique(dim=0)) == 500
        assert rho.mean().abs() < 5 / math.sqrt(rho.numel())
        assert rho.mean(dim=0).abs().max() < 5 / math.sqrt(500)

    def test_term_draws_one_corner_from_the_global_generator(self, monkeypatch: Any):
        model = small_model()
        torch.manual_seed(7)
        drawn = penalty(model)
        torch.manual_seed(7)
        rho = random_corner(X, EPSILON)
        monkeypatch.setattr(sparse_manifold, "random_corner", lambda x, epsilon: rho)
        assert drawn == penalty(model)

    @pytest.mark.usefixtures("_fixed_corner")
    def test_model_sees_both_corners_unclipped_and_nothing_else(self):
        model, epsilon = small_model(), 0.75
        seen: list[Tensor] = []
        model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        penalty(model, epsilon=epsilon)
        rows = torch.cat(seen)
        expected = torch.cat([X + epsilon * SIGNS, X - epsilon * SIGNS])
        assert expected.min() < 0
        assert expected.max() > 1
        assert len(rows) == len(expected)
        for row in expected:
            assert (rows == row).all(dim=1).sum() == 1


@pytest.mark.usefixtures("_fixed_corner")
class TestPenalty:
    @each_power
    @pytest.mark.parametrize("alpha", [1.0, 8.0])
    @pytest.mark.parametrize(("intrinsic", "strength"), [(0.3, 0.0), (0.0, 20.0), (0.3, 20.0)])
    def test_is_the_change_of_the_logits_and_the_hamming_distance_of_the_layers(
        self, intrinsic: float, strength: float, alpha: float, power: int
    ):
        model = small_model()
        options = {"gamma_intrinsic": intrinsic, "gamma_hamming": strength, "alpha": alpha}
        value = term(power=power, **options).penalty(model, X, torch.full_like(Y, -1), 0.0)
        assert value.shape == ()
        expected = intrinsic * intrinsic_by_loops(model)
        expected += strength * hamming_by_loops(model, alpha, power)
        assert value.item() == pytest.approx(expected, rel=1e-12)

    @each_power
    @pytest.mark.parametrize("without", ["gamma_intrinsic", "gamma_hamming", "epsilon_start"])
    def test_gradient_matches_finite_differences(self, without: str, power: int):
        model, off = small_model(), 1.0 if without == "epsilon_start" else 0.0
        parameters, chosen = list(model.parameters()), term(power=power, **{without: off})

        def value(vector: Tensor) -> Tensor:
            vector_to_parameters(vector, parameters)
            return chosen.penalty(model, X, Y, 0.0).detach()

        chosen.penalty(model, X, Y, 0.0).backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        expected = finite_differences(value, parameters_to_vector(parameters).detach(), h=1e-5)
        assert relative_error(parameters_to_vector(gradients), expected) < 1e-7

    @each_power
    def test_gradient_is_finite_where_no_pattern_changes(self, power: int):
        """tanh is 1 at both corners, so every distance is 0, where a square root has no slope."""
        model = small_model()
        for name, parameter in model.backbone.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, 100.0)
        value = term(gamma_intrinsic=0.0, power=power).penalty(model, X, Y, 0.0)
        assert value.item() == 0
        value.backward()
        for name, parameter in model.backbone.named_parameters():
            assert parameter.grad is None or not parameter.grad.any(), name


@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 3, 4)])
class TestHamming:
    def draw(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(3)
        plus = torch.randn(shape, dtype=torch.float64, generator=generator)
        return plus, plus + 0.5 * torch.randn(shape, dtype=torch.float64, generator=generator)

    @each_power
    @pytest.mark.parametrize("alpha", [0.5, 8.0])
    def test_is_the_mean_over_samples_symmetric_and_zero_for_equal_patterns(
        self, shape: tuple[int, ...], alpha: float, power: Any
    ):
        plus, minus = self.draw(shape)
        pairs = zip(plus.numpy(), minus.numpy(), strict=True)
        each = [layer_hamming_by_loops(a, b, alpha, power) for a, b in pairs]
        distance = hamming(torch.cat([plus, minus]), alpha, power)
        assert distance.shape == ()
        assert distance.item() == pytest.approx(sum(each) / len(each), rel=1e-12)
        assert torch.equal(distance, hamming(torch.cat([minus, plus]), alpha, power))
        assert hamming(torch.cat([plus, plus]), alpha, power).item() == 0

    def test_counts_differing_signs_in_the_limit(self, shape: tuple[int, ...]):
        plus, minus = self.draw(shape)
        counts = ((plus > 0) != (minus > 0)).flatten(1).sum(dim=1).double()
        assert len(counts.unique()) > 1
        pairs, elements = torch.cat([plus, minus]), math.prod(shape[1:])
        root, square = (hamming(pairs, 1e9, power).item() for power in (1, 2))
        assert root == pytest.approx(float(counts.sqrt().mean()) / elements, rel=1e-12)
        assert square == pytest.approx(2 * float(counts.mean()) / elements, rel=1e-12)


@pytest.mark.usefixtures("_fixed_corner")
class TestSchedules:
    """The options are final values; for linear f the intrinsic term is proportional to ε²."""

    @pytest.mark.parametrize("other", ["gamma_intrinsic", "gamma_hamming"])
    def test_strengths_grow_linearly_from_20_to_80_percent(self, other: str):
        model, options = small_model(), {other: 0.0, "gamma_start": 0.1}
        full = penalty(model, **{other: 0.0})
        shares = {0.0: 0.1, 0.1: 0.1, 0.2: 0.1, 0.35: 0.325, 0.5: 0.55, 0.8: 1, 0.95: 1}
        values = {progress: penalty(model, progress, **options) / full for progress in shares}
        assert values == pytest.approx(shares, rel=1e-12)

    @pytest.mark.parametrize(
        ("options", "shares"),
        [
            (
                {"epsilon_start": 0.25, "gamma_start": 1.0},
                {0.0: 0.25**2, 0.1: 0.25**2, 0.225: 0.625**2, 0.35: 1, 0.5: 1, 0.95: 1},
            ),
            # By default ε grows from a quarter and γ from a tenth, as in the paper.
            ({}, {0.0: 0.1 * 0.25**2, 0.225: 0.1375 * 0.625**2, 0.9: 1}),
        ],
    )
    def test_epsilon_grows_linearly_from_10_to_35_percent(
        self, options: dict[str, float], shares: dict[float, float]
    ):
        model = linear_model()
        given = {"gamma_intrinsic": 0.3, "gamma_hamming": 0.0, "epsilon": EPSILON, **options}
        full = 0.3 * intrinsic_by_loops(model)
        for progress, share in shares.items():
            value = SparseManifold(**given).penalty(model, X, Y, progress).item()
            assert value == pytest.approx(share * full, rel=1e-9), progress


@pytest.mark.usefixtures("_fixed_corner")
def test_values_of_a_graph_head_are_compared_corner_by_corner():
    """u at x⁺ and u at x⁻, each solved for by itself."""
    task = Task("toy", *[Split(X.float(), torch.tensor([0, 1, 0, 1, 0, 1]))] * 3, num_classes=2)
    torch.manual_seed(4)
    model = GLL(k=5, base_per_class=1).build(MLP(width=5, feature_size=3).build(task), task)
    finish(model, task, np.random.default_rng(0))
    x = X.float() + 0.1
    with torch.no_grad():
        plus, minus = (model.solve(x + sign * EPSILON * SIGNS.float()) for sign in (1, -1))
    expected = 0.3 * float((plus - minus).square().sum()) / 6
    value = term(gamma_hamming=0.0).penalty(model, x, task.train.y, 0.0)
    assert expected > 1e-6
    assert value.item() == pytest.approx(expected, rel=1e-4)


def test_hamming_is_skipped_without_relus():
    reason = term().skip(linear_model())
    assert reason is not None
    assert len(reason) > 10
    assert term(gamma_hamming=0.0).skip(linear_model()) is None
    assert term().skip(small_model()) is None


@pytest.mark.parametrize(
    "wrong", [{"power": 3}, {"epsilon": -0.1}, {"gamma_hamming": -1.0}, {"epsilon_start": 2.0}]
)
def test_impossible_hyper_parameters_are_refused(wrong: dict[str, Any]):
    with refused(ValidationError, *wrong):
        term(**wrong)
