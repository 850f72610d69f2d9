"""The sparse-manifold term: like outputs and like ReLU patterns at opposite corners."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracle_graph import finite_differences, relative_error
from oracle_hamming import (
    EPSILON,
    INPUTS,
    SIGNS,
    TASK,
    X,
    Y,
    hamming_by_loops,
    intrinsic_by_loops,
    layer_hamming_by_loops,
    small_model,
)
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


def linear_model() -> Model:
    """A softmax model in float64 without hidden layers."""
    torch.manual_seed(2)
    return Softmax().build(Identity().build(TASK), TASK).double()


def term(**options: Any) -> SparseManifold:
    """A term without schedules."""
    constant = {"epsilon": EPSILON, "epsilon_start": 1.0, "gamma_start": 1.0}
    strengths = {"gamma_intrinsic": 0.3, "gamma_hamming": 20.0}
    return SparseManifold(**(constant | strengths | options))


@pytest.fixture
def _fixed_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the same corner each time."""
    monkeypatch.setattr(
        sparse_manifold, "random_corner", lambda x, epsilon: epsilon * SIGNS.to(x.dtype)
    )


class TestCorner:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_entries_are_exactly_plus_or_minus_epsilon(self, dtype: torch.dtype):
        x = torch.zeros(40, 3, 5, 5, dtype=dtype)
        rho = random_corner(x, 8 / 255)
        epsilon = torch.tensor(8 / 255, dtype=dtype)
        assert rho.shape == x.shape
        assert rho.dtype == dtype
        assert rho.unique().tolist() == [-epsilon.item(), epsilon.item()]

    def test_opposite_corners_meet_in_the_sample(self):
        """Exactly, where no rounding takes place: multiples of 1/256."""
        torch.manual_seed(0)
        x = torch.arange(256).reshape(32, 8) / 256
        rho = random_corner(x, 1 / 32)
        plus, minus = x + rho, x - rho
        assert torch.equal(plus + minus, 2 * x)
        assert plus.min() < 0
        assert plus.max() > 1

    def test_signs_are_drawn_for_every_sample_and_value(self):
        torch.manual_seed(0)
        rho = random_corner(torch.zeros(500, 20), 1.0)
        assert len(rho.unique(dim=0)) == 500
        assert rho.mean().abs() < 5 / math.sqrt(rho.numel())
        assert rho.mean(dim=0).abs().max() < 5 / math.sqrt(500)

    def test_equal_seeds_give_equal_corners(self):
        draws = []
        for _ in range(2):
            torch.manual_seed(5)
            draws.append([random_corner(X, EPSILON) for _ in range(2)])
        assert all(torch.equal(one, two) for one, two in zip(*draws, strict=True))
        assert not torch.equal(*draws[0])

    def test_term_draws_one_corner_from_the_global_generator(self, monkeypatch: Any):
        model = small_model()
        torch.manual_seed(7)
        found = term().penalty(model, X, Y, 0.0)
        torch.manual_seed(7)
        rho = random_corner(X, EPSILON)
        monkeypatch.setattr(sparse_manifold, "random_corner", lambda x, epsilon: rho)
        assert torch.equal(found, term().penalty(model, X, Y, 0.0))

    @pytest.mark.usefixtures("_fixed_corner")
    def test_model_sees_both_corners_unclipped_and_nothing_else(self):
        model, epsilon = small_model(), 0.75
        seen: list[Tensor] = []
        model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        term(epsilon=epsilon).penalty(model, X, Y, 0.0)
        rows = torch.cat(seen)
        expected = torch.cat([X + epsilon * SIGNS, X - epsilon * SIGNS])
        assert expected.min() < 0
        assert expected.max() > 1
        assert len(rows) == len(expected)
        for row in expected:
            assert (rows == row).all(dim=1).sum() == 1


@pytest.mark.usefixtures("_fixed_corner")
class TestPenalty:
    @pytest.mark.parametrize("power", [1, 2])
    def test_intrinsic_alone_is_the_mean_squared_change_of_the_logits(self, power: int):
        model = small_model()
        found = term(gamma_hamming=0.0, power=power).penalty(model, X, Y, 0.0)
        assert found.shape == ()
        assert found.item() == pytest.approx(0.3 * intrinsic_by_loops(model), rel=1e-12)

    @pytest.mark.parametrize("power", [1, 2])
    @pytest.mark.parametrize("alpha", [1.0, 8.0])
    def test_hamming_alone_is_the_mean_over_samples_and_layers(self, alpha: float, power: int):
        model = small_model()
        found = term(gamma_intrinsic=0.0, alpha=alpha, power=power).penalty(model, X, Y, 0.0)
        expected = 20 * hamming_by_loops(model, alpha, power)
        assert found.item() == pytest.approx(expected, rel=1e-12)

    def test_both_add_up(self):
        model = small_model()
        expected = 0.3 * intrinsic_by_loops(model) + 20 * hamming_by_loops(model, 8.0, 1)
        assert term().penalty(model, X, Y, 0.0).item() == pytest.approx(expected, rel=1e-12)

    def test_labels_play_no_part(self):
        model = small_model()
        found = term().penalty(model, X, torch.full_like(Y, -1), 0.0)
        assert torch.equal(found, term().penalty(model, X, Y, 0.0))

    @pytest.mark.parametrize("power", [1, 2])
    @pytest.mark.parametrize("without", [None, "gamma_intrinsic", "gamma_hamming"])
    def test_gradient_matches_finite_differences(self, without: str | None, power: int):
        model = small_model()
        penalty = term(power=power, **({without: 0.0} if without else {}))
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(
            penalty.penalty(model, X, Y, 0.0), parameters, allow_unused=True
        )
        found = parameters_to_vector(
            [
                torch.zeros_like(p) if g is None else g
                for p, g in zip(parameters, gradients, strict=True)
            ]
        )

        def value(vector: Tensor) -> Tensor:
            vector_to_parameters(vector, parameters)
            return penalty.penalty(model, X, Y, 0.0).detach()

        expected = finite_differences(value, parameters_to_vector(parameters).detach(), h=1e-5)
        assert relative_error(found, expected) < 1e-7

    @pytest.mark.parametrize("power", [1, 2])
    def test_gradient_is_finite_where_no_pattern_changes(self, power: int):
        """tanh is 1 at both corners, so every distance is 0, where a square root has no slope."""
        model = small_model()
        for name, parameter in model.backbone.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, 100.0)
        penalty = term(gamma_intrinsic=0.0, power=power).penalty(model, X, Y, 0.0)
        assert penalty.item() == 0
        penalty.backward()
        for name, parameter in model.backbone.named_parameters():
            assert parameter.grad is None or not parameter.grad.any(), name


@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 3, 4)])
class TestHamming:
    def draw(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(3)
        plus = torch.randn(shape, dtype=torch.float64, generator=generator)
        return plus, plus + 0.5 * torch.randn(shape, dtype=torch.float64, generator=generator)

    @pytest.mark.parametrize("power", [1, 2])
    @pytest.mark.parametrize("alpha", [0.5, 8.0])
    def test_is_the_mean_over_samples(self, shape: tuple[int, ...], alpha: float, power: Any):
        plus, minus = self.draw(shape)
        pairs = zip(plus.numpy(), minus.numpy(), strict=True)
        each = [layer_hamming_by_loops(a, b, alpha, power) for a, b in pairs]
        found = hamming(torch.cat([plus, minus]), alpha, power)
        assert found.shape == ()
        assert found.item() == pytest.approx(sum(each) / len(each), rel=1e-12)

    def test_counts_differing_signs_in_the_limit(self, shape: tuple[int, ...]):
        plus, minus = self.draw(shape)
        elements = math.prod(shape[1:])
        counts = ((plus > 0) != (minus > 0)).flatten(1).sum(dim=1).tolist()
        assert len(set(counts)) > 1
        root = sum(math.sqrt(count) / elements for count in counts) / len(counts)
        square = sum(2 * count / elements for count in counts) / len(counts)
        pairs = torch.cat([plus, minus])
        assert hamming(pairs, 1e9, 1).item() == pytest.approx(root, rel=1e-12)
        assert hamming(pairs, 1e9, 2).item() == pytest.approx(square, rel=1e-12)

    def test_is_symmetric_and_zero_for_equal_patterns(self, shape: tuple[int, ...]):
        plus, minus = self.draw(shape)
        swapped = hamming(torch.cat([minus, plus]), 8.0, 1)
        assert torch.equal(hamming(torch.cat([plus, minus]), 8.0, 1), swapped)
        assert hamming(torch.cat([plus, plus]), 8.0, 1).item() == 0


@pytest.mark.usefixtures("_fixed_corner")
class TestSchedules:
    @pytest.mark.parametrize("only", ["gamma_intrinsic", "gamma_hamming"])
    def test_strengths_grow_linearly_from_20_to_80_percent(self, only: str):
        """Those given are the final ones; the paper's grow by a factor of 10."""
        model = small_model()
        other = {"gamma_intrinsic": "gamma_hamming", "gamma_hamming": "gamma_intrinsic"}[only]
        full = term(**{other: 0.0}).penalty(model, X, Y, 0.0).item()
        shares = {0.0: 0.1, 0.1: 0.1, 0.2: 0.1, 0.35: 0.325, 0.5: 0.55, 0.8: 1, 0.95: 1}
        for progress, share in shares.items():
            found = term(gamma_start=0.1, **{other: 0.0}).penalty(model, X, Y, progress).item()
            assert found == pytest.approx(share * full, rel=1e-12), progress

    def test_epsilon_grows_linearly_from_10_to_35_percent(self):
        """For linear f the intrinsic term is proportional to ε²; the paper goes from 2 to 8."""
        model = linear_model()
        growing = term(epsilon_start=0.25, gamma_hamming=0.0)
        full = 0.3 * intrinsic_by_loops(model)
        fractions = {0.0: 0.25, 0.1: 0.25, 0.225: 0.625, 0.35: 1, 0.5: 1, 0.95: 1}
        for progress, fraction in fractions.items():
            found = growing.penalty(model, X, Y, progress).item()
            assert found == pytest.approx(fraction**2 * full, rel=1e-9), progress


@pytest.mark.usefixtures("_fixed_corner")
def test_defaults_are_the_schedule_of_the_paper():
    """ε from a quarter over 10 to 35 % of the epochs, and γ from a tenth over 20 to 80 %."""
    model = linear_model()
    scheduled = SparseManifold(gamma_intrinsic=0.3, gamma_hamming=0.0, epsilon=EPSILON)
    full = 0.3 * intrinsic_by_loops(model)
    for progress, share in {0.0: 0.1 * 0.25**2, 0.225: 0.1375 * 0.625**2, 0.9: 1}.items():
        found = scheduled.penalty(model, X, Y, progress).item()
        assert found == pytest.approx(share * full, rel=1e-9), progress


class SharedReLU(nn.Module):
    """Two hidden layers, of 5 and 4 units, with one ReLU module after both."""

    feature_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(INPUTS, 5), nn.Linear(5, 4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.relu(self.second(self.relu(self.first(x))))
        return found


@pytest.mark.usefixtures("_fixed_corner")
def test_relu_used_twice_is_two_layers():
    torch.manual_seed(1)
    model = Softmax().build(SharedReLU(), TASK).double()
    found = term(gamma_intrinsic=0.0).penalty(model, X, Y, 0.0)
    assert found.item() == pytest.approx(20 * hamming_by_loops(model, 8.0, 1), rel=1e-12)


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
    expected = 0.3 * sum(float((a - b) @ (a - b)) for a, b in zip(plus, minus, strict=True)) / 6
    found = term(gamma_hamming=0.0).penalty(model, x, task.train.y, 0.0)
    assert expected > 1e-6
    assert found.item() == pytest.approx(expected, rel=1e-4)


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
    with pytest.raises(ValueError, match=next(iter(wrong))):
        term(**wrong)
