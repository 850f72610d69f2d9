"""Attacks against steps done by hand, one input at a time, on softmax of a linear map."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_attacks import NEEDS_BOUNDS, attack, batch_of, candidates, linear_target, right, target_of
from make_cells import create
from pydantic import ValidationError

from lapbench.attacks.apgd_ce import _checkpoints
from lapbench.attacks.base.attack import Attack, Candidate
from lapbench.attacks.base.ball import Ball
from lapbench.attacks.base.loss import margins
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split

Array = np.ndarray[Any, np.dtype[np.float64]]


class TestCarliniWagner:
    """On softmax of a linear map W x + b, against steps done by hand."""

    @pytest.mark.parametrize("steps", [1, 9])
    @pytest.mark.parametrize("on", ["probabilities", "logits"])
    @pytest.mark.parametrize("units", ["input", "normalised"])
    @pytest.mark.parametrize("bounds", [(0.0, 1.0), (-2.0, 3.0)])
    def test_follows_steps_done_by_hand(
        self, steps: int, on: str, units: str, bounds: tuple[float, float]
    ):
        target, batch = linear_target(classes=4, size=5, bounds=bounds, scale=2 / bounds[1])
        y = batch.y.clone()
        y[0] = (y[0] + 1) % 4
        options = {"constants": [0.3, 5.0], "steps": steps, "learning_rate": 0.05, "on": on}
        result = list(
            create("attacks", "cw-gll", **options, units=units).perturb(target, batch.x, y)
        )
        scale = target.deviation.numpy() if units == "normalised" else np.ones(5)
        for candidate, c in zip(result, (0.3, 5.0), strict=True):
            assert candidate.x[0].equal(batch.x[0])
            for row in range(1, len(y)):
                expected = by_hand(target.model, batch.x[row].numpy(), c, steps, on, scale, bounds)
                np.testing.assert_allclose(candidate.x[row].numpy(), expected, rtol=0, atol=1e-12)

    def test_on_probabilities_is_another_attack_than_on_logits(self):
        target = target_of("softmax")
        batch = batch_of(target.task, 100)
        kept = []
        for on in ("probabilities", "logits"):
            made = create("attacks", "cw-gll", constants=[1.0], on=on)
            (result,) = made.perturb(target, batch.x, batch.y)
            kept.append(int(right(target, result.x, batch.y).sum()))
        assert abs(kept[0] - kept[1]) >= 5

    @pytest.mark.parametrize("case", sorted(NEEDS_BOUNDS))
    def test_is_skipped_without_bounds(self, case: str):
        target, batch = linear_target(classes=3, size=4, bounds=None)
        assert "no bounds" in (attack(case).skip(target) or "")
        with refused(ValueError, "bounds"):
            candidates(case, target, batch)
        assert attack(case).skip(target_of("softmax")) is None

    def test_strong_form_finds_the_nearest_boundary_of_two_classes(self):
        """Where bounds do not matter, that is |f|/‖w‖ for f = log p_y − log p_j = wᵀx + b."""
        target, batch = linear_target(classes=2, size=5, bounds=(-9.0, 9.0), scale=2)
        made = create("attacks", "cw-strong", steps=200, searches=6, learning_rate=0.02)
        (result,) = made.perturb(target, batch.x, batch.y)
        weights = target.model.linear.weight
        with torch.no_grad():
            score = (target.model(batch.x) @ torch.tensor([1.0, -1.0]).double()).abs()
        nearest = score / (weights[0] - weights[1]).norm()
        inside = nearest < 3
        distance = (result.x - batch.x).norm(dim=1)
        assert inside.sum() >= 10
        assert not right(target, result.x, batch.y).any()
        assert (distance >= nearest * (1 - 1e-9)).all()
        assert (distance[inside] <= 1.05 * nearest[inside]).all()

    def test_strong_form_keeps_the_smallest_margin_where_nothing_is_wrong(self):
        target, batch = linear_target(classes=3, size=4, bounds=(0.0, 1.0))
        options = {"steps": 15, "searches": 2, "confidence": 1e6}
        torch.manual_seed(0)
        (result,) = create("attacks", "cw-strong", **options).perturb(target, batch.x, batch.y)
        with torch.no_grad():
            before = margins(target.log_probabilities(batch.x), batch.y)
            after = margins(target.log_probabilities(result.x), batch.y)
        assert (after < before).all()


def by_hand(
    model: Any, x: Array, c: float, steps: int, on: str, scale: Array, bounds: tuple[float, float]
) -> Array:
    """Adam on w for one input: the objective's derivative is written out."""
    weights, shift = model.linear.weight.numpy(), model.linear.bias.numpy()
    low, width = bounds[0], bounds[1] - bounds[0]

    def shares(at: Array) -> Array:
        powers = np.exp(weights @ at + shift)
        return powers / powers.sum()

    runner_up = np.argsort(shares(x))[-2]
    w = np.arctanh((2 * (x - low) / width - 1) * (1 - 1e-6))
    first = second = np.zeros_like(w)
    for step in range(1, steps + 1):
        moved = low + width * (np.tanh(w) + 1) / 2
        p = shares(moved)
        slopes = p[:, None] * (weights - p @ weights) if on == "probabilities" else weights
        leader = max((k for k in range(len(p)) if k != runner_up), key=lambda k: p[k])
        slope = 2 * (moved - x) / scale.reshape(-1) ** 2
        if p[leader] > p[runner_up]:
            slope = slope + c * (slopes[leader] - slopes[runner_up])
        slope = slope * width / 2 * (1 - np.tanh(w) ** 2)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        size = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        w = w - 0.05 * first / (1 - 0.9**step) / size
    return low + width * (np.tanh(w) + 1) / 2


class TestSquare:
    def test_asks_for_predictions_alone(self, monkeypatch: pytest.MonkeyPatch):
        target = target_of("gll")
        batch, enabled = batch_of(target.task), []

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a gradient was asked for")

        monkeypatch.setattr(torch.autograd, "grad", refuse)
        monkeypatch.setattr(torch.autograd, "backward", refuse)
        monkeypatch.setattr(torch.Tensor, "backward", refuse)
        spy = target.model.backbone.register_forward_pre_hook(
            lambda *_: enabled.append(torch.is_grad_enabled())
        )
        made = create("attacks", "square", epsilons=[0.01], queries=25)
        (result,) = made.perturb(target, batch.x, batch.y)
        spy.remove()
        assert target.queries == len(enabled) == 25
        assert target.gradients == 0
        assert not any(enabled)
        assert made.knowledge == "black box"
        assert torch.is_grad_enabled()
        assert not result.x.equal(batch.x)

    def test_moves_every_value_to_the_boundary(self):
        target, batch = linear_target(classes=3, size=8, bounds=None, scale=9)
        made = create("attacks", "square", epsilons=[0.03], queries=40)
        torch.manual_seed(0)
        (result,) = made.perturb(target, batch.x, batch.y)
        moved = (result.x - batch.x).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, 0.03), rtol=1e-9, atol=0)

    def test_never_raises_the_margin_of_a_sample_after_its_start(self):
        target, batch = linear_target(classes=3, size=8, bounds=None)
        seen = []
        for queries in (2, 10, 40, 160):
            # The schedule of squares ends with the queries, so each run is its own.
            torch.manual_seed(0)
            made = create("attacks", "square", epsilons=[0.05], queries=queries)
            (result,) = made.perturb(target, batch.x, batch.y)
            with torch.no_grad():
                seen.append(margins(target.log_probabilities(result.x), batch.y))
        assert all((later <= seen[0] + 1e-12).all() for later in seen[1:])
        assert seen[-1].mean() < seen[1].mean() < seen[0].mean()

    def test_refuses_another_norm(self):
        with refused(ValidationError, "linf"):
            create("attacks", "square", epsilons=[0.1], norm="l2")


class TestAutoPGD:
    def test_checkpoints_are_those_of_the_paper(self):
        assert _checkpoints(100) == {22, 41, 57, 70, 80, 87, 93, 99}

    @pytest.mark.parametrize("norm", ["linf", "l2"])
    def test_follows_the_algorithm_image_by_image(self, norm: str):
        target, batch = linear_target(classes=5, size=6, bounds=(0.0, 1.0), scale=6)
        epsilon, steps = 0.2, 40
        made = create("attacks", "apgd-ce", epsilons=[epsilon], steps=steps, norm=norm)
        (result,) = (candidate.x for candidate in seeded(made, target, batch))
        torch.manual_seed(0)
        ball = target.ball(batch.x, epsilon, made.norm)
        starts, halved = ball.random(), 0
        for row in range(len(batch)):
            one = Ball(
                batch.x[row : row + 1], epsilon, made.norm, (0.0, 1.0), torch.ones(()).double()
            )
            expected, times = ascend_by_hand(
                target.model, one, starts[row].numpy(), int(batch.y[row]), steps
            )
            halved += times
            # At a maximum on the sphere the loss is flat, and rounding decides what is best.
            tolerance = 1e-10 if norm == "linf" else 1e-7
            np.testing.assert_allclose(result[row].numpy(), expected, rtol=0, atol=tolerance)
        assert halved > len(batch)

    @pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.12), ("l2", 0.6)])
    def test_is_as_strong_as_pgd_of_equal_steps(self, norm: str, epsilon: float):
        target = target_of("softmax")
        batch = target.task.test
        kept = []
        for name, options in (("pgd", {"steps": [30]}), ("apgd-ce", {"steps": 30})):
            made = create("attacks", name, epsilons=[epsilon], norm=norm, **options)
            (result,) = seeded(made, target, batch)
            kept.append(float(right(target, result.x, batch.y).float().mean()))
        assert kept[1] <= kept[0] + 0.01
        assert 0.02 < kept[0] < 0.7


def seeded(made: Attack, target: Target, batch: Split) -> list[Candidate]:
    torch.manual_seed(0)
    return list(made.perturb(target, batch.x, batch.y))


def ascend_by_hand(model: Any, ball: Ball, start: Array, y: int, steps: int) -> tuple[Array, int]:
    """Auto-PGD of one input on softmax of W x + b, and how often its step was halved."""
    weights, shift = model.linear.weight.numpy(), model.linear.bias.numpy()

    def loss(x: Array) -> float:
        scores = weights @ x + shift
        return float(np.log(np.exp(scores - scores[y]).sum()))

    def projected(x: Array) -> Array:
        return ball.project(torch.from_numpy(x)[None])[0].numpy()

    def ahead(x: Array) -> Array:
        powers = np.exp(weights @ x + shift)
        slope = powers @ weights / powers.sum() - weights[y]
        length = np.sign(slope) if ball.norm == "linf" else slope / np.linalg.norm(slope)
        return projected(x + size * length)

    percents = (22, 41, 57, 70, 80, 87, 93, 99)
    marks = [0, *(math.ceil(percent * steps / 100) for percent in percents)]
    size = 2 * ball.epsilon
    path = [start, ahead(start)]
    losses = [loss(x) for x in path]
    best = path[int(losses[1] > losses[0])]
    sizes, records = {0: size}, {0: losses[0]}
    for k in range(1, steps):
        z = ahead(path[k])
        following = projected(path[k] + 0.75 * (z - path[k]) + 0.25 * (path[k] - path[k - 1]))
        if loss(following) > loss(best):
            best = following
        if k in marks:
            last = marks[marks.index(k) - 1]
            sizes[k], records[k] = size, loss(best)
            rises = sum(losses[i + 1] > losses[i] for i in range(last, k))
            stalled = sizes[last] == size and records[last] == records[k]
            if rises < 0.75 * (k - last) or stalled:
                size, following = size / 2, best
        path.append(following)
        losses.append(loss(following))
    return best, round(math.log2(2 * ball.epsilon / size))


class TestDeepFool:
    def test_takes_one_step_to_the_nearest_boundary_of_a_linear_map(self):
        """It is |f|/‖w‖ away for the class of the least; the step is 1.02 times that and 1e-4."""
        target, batch = linear_target(classes=5, size=6, bounds=None)
        y = batch.y.clone()
        y[0] = (y[0] + 1) % 5
        (result,) = create("attacks", "deepfool", steps=1).perturb(target, batch.x, y)
        weights = target.model.linear.weight.numpy()
        shift = target.model.linear.bias.numpy()
        assert result.x[0].equal(batch.x[0])
        for row in range(1, len(y)):
            x, own = batch.x[row].numpy(), int(y[row])
            scores = weights @ x + shift
            distances = {
                k: (scores[own] - scores[k]) / np.linalg.norm(weights[k] - weights[own])
                for k in range(5)
                if k != own
            }
            nearest = min(distances, key=lambda k: distances[k])
            normal = weights[nearest] - weights[own]
            step = 1.02 * (distances[nearest] + 1e-4) * normal / np.linalg.norm(normal)
            np.testing.assert_allclose(result.x[row].numpy(), x + step, rtol=0, atol=1e-12)
        assert not right(target, result.x, y).any()

    def test_stays_where_no_class_has_a_gradient(self):
        target, batch = linear_target(classes=3, size=4, bounds=None)
        with torch.no_grad():
            target.model.linear.weight.zero_()
            y = target.model(batch.x).argmax(dim=1)
        (result,) = create("attacks", "deepfool").perturb(target, batch.x, y)
        assert result.x.equal(batch.x)
