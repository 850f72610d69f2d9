"""Attacks choose from a ball and the bounds: projections, random starts and steps."""

from itertools import product

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_cells import load_task
from make_trainings import noise
from scipy import stats
from torch import Tensor

from lapbench.attacks.base.ball import Ball
from lapbench.attacks.base.quantities import Norm, Units
from lapbench.attacks.base.target import Target
from lapbench.methods.softmax import LinearModel
from lapbench.seeds import Seeds

EPSILON = 0.3
Bounds = tuple[float, float] | None
Case = tuple[Norm, Bounds, bool, torch.dtype, tuple[int, ...]]
CASES: list[Case] = list(
    product(
        ("linf", "l2"),
        (None, (0.0, 1.0)),
        (False, True),
        (torch.float32, torch.float64),
        ((4,), (3, 2, 5)),
    )
)
ANY = pytest.mark.parametrize("case", CASES)


def ball(
    norm: Norm,
    bounds: Bounds,
    scaled: bool,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    samples: int = 50,
) -> Ball:
    """A ball around random inputs, many of them at the bounds, scaled by coordinate or channel."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(samples, *shape, generator=generator, dtype=dtype).mul(3).sub(1).clamp(0, 1)
    each = torch.linspace(0.5, 2, shape[0], dtype=dtype).view(1, -1, *[1] * (len(shape) - 1))
    return Ball(x, EPSILON, norm, bounds, each if scaled else torch.ones((), dtype=dtype))


def by_hand(x: list[float], norm: Norm, bounds: Bounds = None, scale: Tensor | None = None) -> Ball:
    """A ball of radius 1 around one input in float64."""
    each = torch.ones((), dtype=torch.float64) if scale is None else scale
    return Ball(torch.tensor([x], dtype=torch.float64), 1.0, norm, bounds, each)


def lengths(moved: Tensor, ball: Ball) -> np.ndarray:
    """Lengths (n,) in the ball's norm and scale."""
    flat = (moved / ball.scale).flatten(1).double().numpy()
    return np.abs(flat).max(axis=1) if ball.norm == "linf" else np.sqrt((flat**2).sum(axis=1))


def far(ball: Ball, size: float = 2.0) -> Tensor:
    """Random inputs, of which most are outside of the ball and of the bounds."""
    generator = torch.Generator().manual_seed(1)
    moved = torch.randn(ball.x.shape, generator=generator, dtype=ball.x.dtype)
    return ball.x + size * moved


def inside(x: Tensor, ball: Ball) -> bool:
    rounding = 1e-5 if x.dtype == torch.float32 else 1e-12
    low, high = ball.bounds or (-np.inf, np.inf)
    within = bool((lengths(x - ball.x, ball) <= ball.epsilon + rounding).all())
    return within and bool(((x >= low) & (x <= high)).all())


@pytest.mark.parametrize(
    ("norm", "bounds", "scale", "expected"),
    [
        ("linf", None, None, [1.5, -0.5]),
        ("linf", (0.0, 1.0), None, [1.0, 0.0]),
        ("linf", None, [[2.0, 0.5]], [2.5, 0.0]),
        ("l2", None, None, [0.5 + 3 / 5, 0.5 - 4 / 5]),
        ("l2", (0.0, 1.0), None, [1.0, 0.0]),
        # Over the scale the change (3, −4) is (6, −8), of length 10.
        ("l2", None, [[0.5, 0.5]], [0.5 + 3 / 10, 0.5 - 4 / 10]),
        # Over the scale it is (1, −8), of length √65.
        ("l2", None, [[3.0, 0.5]], [0.5 + 3 / 65**0.5, 0.5 - 4 / 65**0.5]),
    ],
)
def test_projection_by_hand(
    norm: Norm, bounds: Bounds, scale: list[list[float]] | None, expected: list[float]
):
    each = None if scale is None else torch.tensor(scale, dtype=torch.float64)
    moved = by_hand([0.5, 0.5], norm, bounds, each).project(torch.tensor([[3.5, -3.5]]).double())
    assert moved.numpy() == pytest.approx(np.array([expected]), abs=1e-12)


@ANY
def test_projection_is_in_ball_and_bounds(case: Case):
    around = ball(*case)
    outside = far(around)
    assert not inside(outside, around)
    moved = around.project(outside)
    assert inside(moved, around)
    assert moved.dtype == around.x.dtype


@ANY
def test_projection_of_a_projection_is_the_same(case: Case):
    around = ball(*case)
    once = around.project(far(around))
    torch.testing.assert_close(around.project(once), once)


@ANY
def test_what_is_in_ball_and_bounds_stays(case: Case):
    around = ball(*case)
    assert torch.equal(around.project(around.x), around.x)
    near = around.project(far(around, 0.02))
    torch.testing.assert_close(around.project(near), near)


@ANY
def test_random_starts_are_in_ball_and_bounds(case: Case):
    around = ball(*case)
    torch.manual_seed(0)
    moved = around.random()
    assert inside(moved, around)
    assert moved.dtype == around.x.dtype
    assert not torch.equal(moved, around.random())
    torch.manual_seed(0)
    assert torch.equal(moved, around.random())


@pytest.mark.parametrize("scaled", [False, True])
def test_random_starts_are_uniform_in_linf(scaled: bool):
    around = ball("linf", None, scaled, torch.float64, (3, 2, 5), samples=300)
    torch.manual_seed(0)
    moved = ((around.random() - around.x) / around.scale / EPSILON).flatten().numpy()
    assert stats.kstest(moved, stats.uniform(-1, 2).cdf).pvalue > 0.01


@pytest.mark.parametrize("scaled", [False, True])
def test_random_starts_are_uniform_in_the_volume_of_l2(scaled: bool):
    """‖x' − x‖ ≤ r has the probability (r/ε)^d, and a coordinate of the direction is symmetric."""
    around = ball("l2", None, scaled, torch.float64, (3,), samples=3000)
    torch.manual_seed(0)
    moved = (around.random() - around.x) / around.scale
    radius = lengths(around.scale * moved, around) / EPSILON
    assert stats.kstest(radius**3, stats.uniform.cdf).pvalue > 0.01
    # On a sphere in three dimensions each coordinate is uniform (Archimedes).
    direction = moved.numpy() / EPSILON / radius[:, None]
    for coordinate in direction.T:
        assert stats.kstest(coordinate, stats.uniform(-1, 2).cdf).pvalue > 0.01


@ANY
def test_steps_have_their_length_and_climb_steepest(case: Case):
    around = ball(*case)
    gradient = far(around) - around.x
    step = around.step(gradient, 0.7)
    assert step.dtype == around.x.dtype
    assert lengths(step, around) == pytest.approx(0.7, rel=1e-5)
    gain = (gradient * step).flatten(1).sum(dim=1)
    torch.manual_seed(0)
    for _ in range(20):
        other = torch.randn_like(gradient)
        length = torch.from_numpy(lengths(other, around)).to(other.dtype)
        other *= 0.7 / length.view(-1, *[1] * (other.ndim - 1))
        assert bool(((gradient * other).flatten(1).sum(dim=1) < gain).all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_gradient_is_no_step(norm: Norm, dtype: torch.dtype):
    around = ball(norm, None, False, dtype, (4,), samples=2)
    gradient = torch.zeros_like(around.x)
    gradient[1, 2] = -3.0
    step = around.step(gradient, 0.5)
    assert step.tolist() == [[0.0] * 4, [0.0, 0.0, -0.5, 0.0]]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_tiny_gradient_is_a_whole_step(norm: Norm):
    """A confident model has gradients of 1e-25, whose squares float32 does not hold."""
    around = ball(norm, None, False, torch.float32, (4,), samples=1)
    step = around.step(torch.tensor([[3e-25, 0.0, -4e-25, 0.0]]), 1.0)
    assert lengths(step, around) == pytest.approx(1, rel=1e-4)


def test_unknown_norm_is_named():
    with refused(ValueError, "norm: received 'l1'"):
        Ball(torch.zeros(1, 2), 1.0, "l1", None, torch.ones(()))  # type: ignore[arg-type]


def flat(size: int) -> torch.nn.Module:
    """A backbone without parameters."""
    backbone = torch.nn.Flatten()
    backbone.feature_size = size  # type: ignore[assignment]
    return backbone


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("units", ["input", "normalised"])
def test_units_scale_by_coordinate_or_channel(images: bool, units: Units):
    task = noise(images)
    model = Target(LinearModel(flat(64 if images else 3), 2), task, Seeds("noise", 0))
    x = task.train.x
    axes = (0, 2, 3) if images else (0,)
    normalised = x.double().numpy().std(axis=axes, keepdims=True)
    deviation = normalised if units == "normalised" else np.ones(())
    moved = (model.ball(x, 0.1, "linf", units).project(x + 100) - x).double().numpy()
    assert moved == pytest.approx(np.broadcast_to(0.1 * deviation, x.shape), rel=1e-4)


def test_inputs_that_never_vary_have_the_scale_one():
    task = load_task("two_moons", samples=80)
    task.train.x[:, 1] = 0.5
    model = Target(LinearModel(flat(2), 2), task, Seeds("two_moons", 0))
    first, second = model.deviation[0].tolist()
    assert first == pytest.approx(float(task.train.x[:, 0].double().numpy().std()), rel=1e-5)
    assert second == 1
