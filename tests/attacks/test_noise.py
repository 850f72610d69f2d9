"""Noise and steps of a stated signal-to-noise ratio."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from make_cells import small_task
from make_targets import image_target, ratios, run
from torch import Tensor, nn

from lapbench.attacks.base.target import Target
from lapbench.attacks.fgsm_snr import FGSMSNR
from lapbench.attacks.gaussian_noise import GaussianNoise
from lapbench.datasets.base.task import Split
from lapbench.methods.base.model import Model
from lapbench.seeds import Seeds

SEEDS = Seeds("two_moons", 0)
SNRS = [5.0, 15.0, 20.0]
UNITS = ["input", "normalised"]


@pytest.mark.parametrize("units", UNITS)
class TestRatio:
    @pytest.mark.parametrize("kind", [GaussianNoise, FGSMSNR])
    def test_of_every_image_is_the_one_asked_for(self, kind: Any, units: str):
        target = image_target()
        x = target.task.test.x
        result = run(kind(snrs=SNRS, units=units), target)
        assert len(result) == len(SNRS) * (10 if kind is GaussianNoise else 1)
        for candidate in result:
            assert candidate.level.parameter == "snr"
            measured = ratios(target.task, x, candidate.x, units)
            asked = torch.full_like(measured, candidate.level.value)
            torch.testing.assert_close(measured, asked, atol=1e-4, rtol=0)
            torch.testing.assert_close(candidate.numbers["snr"], measured, atol=1e-6, rtol=0)
            assert abs(float(measured.mean()) - candidate.level.value) < 1e-4

    def test_of_single_precision_is_the_one_asked_for(self, units: str):
        exact = image_target()
        part = exact.task.test
        task = replace(exact.task, train=Split(part.x.float(), part.y))
        single = Target(deepcopy(exact.model).float(), task, SEEDS)
        for attack in (FGSMSNR(snrs=[20.0], units=units), GaussianNoise(snrs=[20.0], units=units)):  # type: ignore[arg-type]
            for candidate in run(attack, single, x=task.train.x):
                assert candidate.x.dtype == torch.float32
                measured = ratios(task, task.train.x.double(), candidate.x.double(), units)
                assert abs(float(measured.mean()) - 20) < 1e-4

    def test_leaves_alone_what_has_no_signal_or_no_class(self, units: str):
        target = image_target()
        task = target.task
        x, y = task.test.x.clone(), task.test.y.clone()
        mean = task.train.x.mean((0, 2, 3), keepdim=True)
        x[3], y[5] = (0.0 if units == "input" else mean[0]), -1
        for kind in (GaussianNoise, FGSMSNR):
            for candidate in run(kind(snrs=SNRS, units=units), target, x=x, y=y):
                assert candidate.numbers["snr"].isnan().nonzero()[:, 0].tolist() == [3, 5]
                assert candidate.x[[3, 5]].equal(x[[3, 5]])
                assert bool((candidate.x != x).flatten(1).any(dim=1)[[0, 1, 2, 4]].all())

    def test_step_has_the_sign_of_the_gradient_and_one_size_an_image(self, units: str):
        target = image_target()
        task = target.task
        x, y = task.test.x.clone().requires_grad_(), task.test.y
        loss = nn.functional.nll_loss(target.model(x), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        deviation = task.train.x.std((0, 2, 3), correction=0, keepdim=True)
        scale = deviation if units == "normalised" else torch.ones(1)
        for candidate in run(FGSMSNR(snrs=SNRS, units=units), target):  # type: ignore[arg-type]
            step = ((candidate.x - x) / scale).detach().flatten(1)
            assert step.sign().equal(gradient.flatten(1).sign())
            sizes = step.abs()
            torch.testing.assert_close(sizes, sizes[:, :1].expand_as(sizes))

    def test_noise_is_normal_and_new_in_each_draw(self, units: str):
        target = image_target()
        x = target.task.test.x
        first, second = run(GaussianNoise(snrs=[10.0], draws=2, units=units), target)  # type: ignore[arg-type]
        assert not first.x.equal(second.x)
        noise = (first.x - x)[:, 0].flatten(1)
        noise = noise / noise.std(dim=1, keepdim=True)
        assert abs(float(noise.mean())) < 5 / noise.numel() ** 0.5
        assert abs(float((noise**4).mean()) - 3) < 0.5


class _Axis(Model):
    """Predicts by the first of two coordinates alone."""

    def outputs(self, features: Tensor) -> Tensor:
        return torch.stack((features[:, 0], -features[:, 0]), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.outputs(x), dim=1)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError


def test_gradient_that_is_0_in_part_or_whole_by_hand():
    """‖x‖ = 5, so ε = 5/(10 √2) at 20 dB; half of the step's length is missing."""
    target = Target(_Axis(nn.Identity()), small_task(), SEEDS)
    x = torch.tensor([[3.0, 4.0], [1e4, 0.0]])
    (candidate,) = FGSMSNR(snrs=[20.0]).perturb(target, x, torch.tensor([0, 0]))
    expected = torch.tensor([[3 - 0.5 / 2**0.5, 4.0], [1e4, 0.0]])
    torch.testing.assert_close(candidate.x, expected)
    assert float(candidate.numbers["snr"][0]) == pytest.approx(20 + 10 * np.log10(2), abs=1e-4)
    assert bool(candidate.numbers["snr"][1].isnan())
