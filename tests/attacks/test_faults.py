"""Neurons that fail and weights of few bits, and the model as it was afterwards."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from make_cells import create, small_task
from make_targets import image_target, moons_target, run
from pydantic import ValidationError
from torch import Tensor, nn

from lapbench.attacks.base.attack import Attack, Candidate
from lapbench.attacks.base.target import Target
from lapbench.attacks.fgsm_snr import FGSMSNR
from lapbench.attacks.gaussian_noise import GaussianNoise
from lapbench.attacks.neuron_dropout import NeuronDropout
from lapbench.attacks.weight_quantization import WeightQuantization
from lapbench.datasets.base.task import Split
from lapbench.methods.softmax import LinearModel
from lapbench.seeds import Seeds

SEEDS = Seeds("two_moons", 0)
SNRS = [5.0, 15.0, 20.0]
UNITS = ["input", "normalised"]


class _Probe(nn.Module):
    """Keeps what reaches it."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x


def probed(width: int = 400) -> tuple[Target, nn.ReLU, _Probe]:
    """A network with one layer, and what stands before and after its faults."""
    relu, probe = nn.ReLU(), _Probe()
    backbone = nn.Sequential(nn.Linear(2, width), relu, probe)
    backbone.feature_size = width  # type: ignore[assignment]
    return Target(LinearModel(backbone, 2), small_task(), SEEDS), relu, probe


class TestNeuronDropout:
    @pytest.mark.parametrize("share", [0.25, 0.4])
    def test_drops_a_share_and_keeps_the_expectation(self, share: float):
        target, relu, probe = probed()
        exact: list[Tensor] = []
        relu.register_forward_hook(lambda module, inputs, output: exact.append(output))
        x = target.task.test.x
        torch.manual_seed(0)
        for _ in NeuronDropout(shares=[share], draws=3).perturb(target, x, target.task.test.y):
            active = exact[-1] > 0
            faulty = probe.seen[active] / exact[-1][active]
            kept = faulty > 0
            torch.testing.assert_close(faulty[kept], torch.full_like(faulty[kept], 1 / (1 - share)))
            error = 5 * (share * (1 - share) / len(kept)) ** 0.5
            assert abs(float((~kept).double().mean()) - share) < error
            assert abs(float(faulty.mean()) - 1) < error / (1 - share)
            assert bool((probe.seen[~active] == 0).all())
        assert len(exact) == 3

    def test_faults_of_samples_and_draws_are_independent(self):
        target, _, probe = probed()
        target.task = replace(target.task, test=Split(torch.ones(50, 2), torch.zeros(50).long()))
        dropped = []
        attack = NeuronDropout(shares=[0.4], draws=2)
        torch.manual_seed(0)
        for _ in attack.perturb(target, target.task.test.x, target.task.test.y):
            dropped.append((probe.seen == 0).double())
        active = dropped[0].mean(dim=0) < 1
        first, second = (part[:, active] for part in dropped)
        error = 5 * (0.16 / first.numel()) ** 0.5
        assert abs(float((first[1:] * first[:-1]).mean()) - 0.16) < error
        assert abs(float((first * second).mean()) - 0.16) < error

    @pytest.mark.parametrize(
        ("target", "places"),
        [
            (lambda: image_target(blocks=2), 4),
            (lambda: image_target("small_cnn"), 6),
            (lambda: image_target("strided_cnn"), 3),
            (lambda: moons_target("softmax"), 2),
            (lambda: moons_target("wnll"), 3),
        ],
    )
    def test_strikes_after_every_block(self, target: Callable[[], Target], places: int):
        """After the ReLUs, WNLL's buffer included; in residual networks after each block."""
        result = target()
        struck: set[int] = set()

        def count(module: nn.Module, inputs: Any) -> None:  # noqa: ARG001
            struck.update(id(m) for m in result.model.modules() if m._forward_hooks)

        handle = result.model.register_forward_pre_hook(count)
        run(NeuronDropout(draws=1), result)
        handle.remove()
        assert len(struck) == places

    def test_hardly_any_fault_changes_hardly_anything(self):
        target = moons_target("gll")
        (result,) = run(NeuronDropout(shares=[1e-9], draws=1), target)
        clean = target.model(target.task.test.x)
        torch.testing.assert_close(result.log_probabilities, clean, atol=1e-5, rtol=1e-5)

    def test_base_set_passes_through_the_faulty_network(self, monkeypatch: pytest.MonkeyPatch):
        target = moons_target("gll")
        rows, dropout = [], nn.functional.dropout

        def spy(values: Tensor, *args: Any, **options: Any) -> Tensor:
            rows.append(len(values))
            return dropout(values, *args, **options)

        monkeypatch.setattr(nn.functional, "dropout", spy)
        run(NeuronDropout(shares=[0.25], draws=1), target)
        model: Any = target.model
        assert rows == [len(model.base) + len(target.task.test)] * 2


def quantized(values: Tensor, bits: int = 5) -> tuple[np.ndarray[Any, Any], float]:
    """The definition, with a search for q in numpy."""
    exact = values.double().numpy()
    largest, q = float(np.abs(exact).max()), -200
    if largest == 0:
        return exact, 1.0
    while 2.0**q * largest < 1:
        q += 1
    step = 2.0 ** -(bits - 2 + q)
    return np.sign(exact) * np.floor(np.abs(exact) / step) * step, step


def seen_weights(target: Target, bits: int = 5) -> tuple[dict[str, Tensor], Candidate]:
    """Parameters while the model predicts, and the prediction."""
    seen: dict[str, Tensor] = {}

    def keep(module: nn.Module, inputs: Any) -> None:  # noqa: ARG001
        seen.update({name: p.clone() for name, p in module.named_parameters()})

    handle = target.model.register_forward_pre_hook(keep)
    (result,) = run(WeightQuantization(bits=[bits]), target)
    handle.remove()
    return seen, result


QUANTIZED = {
    "softmax": lambda: moons_target("softmax"),
    "gll": lambda: moons_target("gll"),
    "wnll": lambda: moons_target("wnll"),
    "parseval": lambda: parseval_target(),
}


@cache
def parseval_target() -> Target:
    target = image_target("small_resnet", blocks=1)
    model = deepcopy(target.model)
    create("methods", "parseval").prepare(model)
    return Target(model, target.task, SEEDS)


class TestWeightQuantization:
    def test_by_hand(self):
        """max = 0.3, q = 2, step = 1/32."""
        backbone = nn.Sequential(nn.Linear(2, 2))
        backbone.feature_size = 2  # type: ignore[assignment]
        model = LinearModel(backbone, 2)
        with torch.no_grad():
            model.linear.weight.copy_(torch.tensor([[0.3, -0.26], [0.05, -0.01]]))
            model.linear.bias.copy_(torch.tensor([0.25, -0.06]))
            backbone[0].bias.zero_()  # type: ignore[operator]
        seen, _ = seen_weights(Target(model, small_task(), SEEDS))
        assert (seen["linear.weight"] * 32).tolist() == [[9.0, -8.0], [1.0, 0.0]]
        assert (seen["linear.bias"] * 32).tolist() == [8.0, -1.0]
        assert seen["backbone.0.bias"].tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("bits", [2, 5, 8])
    @pytest.mark.parametrize("name", QUANTIZED)
    def test_values_are_few_and_close_from_below(self, name: str, bits: int):
        target = QUANTIZED[name]()
        seen, _ = seen_weights(target, bits)
        assert seen.keys() == {name for name, _ in target.model.named_parameters()}
        for exact, rounded in zip(target.model.parameters(), seen.values(), strict=True):
            expected, step = quantized(exact.detach(), bits)
            assert rounded.double().numpy().tolist() == expected.tolist()
            assert len(rounded.unique()) <= 2**bits - 1
            assert bool((rounded / step == (rounded / step).round()).all())
            assert bool((rounded.abs() <= exact.abs()).all())
            assert bool(((rounded - exact).abs() < step).all())

    @pytest.mark.parametrize("name", QUANTIZED)
    def test_prediction_is_that_of_a_model_with_these_weights(self, name: str):
        """Base sets too are seen by the quantised network."""
        target = QUANTIZED[name]()
        model = deepcopy(target.model)
        for parameter in model.parameters():
            parameter.data = torch.from_numpy(quantized(parameter.data)[0]).to(parameter.dtype)
        _, result = seen_weights(target)
        expected = model(target.task.test.x)
        torch.testing.assert_close(result.log_probabilities, expected, atol=1e-6, rtol=1e-6)
        assert not expected.allclose(target.model(target.task.test.x), atol=1e-4)

    def test_many_bits_change_nothing(self):
        target = moons_target("softmax")
        _, result = seen_weights(target, 30)
        torch.testing.assert_close(result.log_probabilities, target.model(target.task.test.x))


FAULTS = [NeuronDropout(draws=2), WeightQuantization(bits=[4, 5])]


@pytest.mark.parametrize("attack", FAULTS)
@pytest.mark.parametrize("name", QUANTIZED)
class TestFaults:
    def test_are_gone_afterwards(self, attack: Attack, name: str):
        target = QUANTIZED[name]()
        before, weights = state(target)
        result = run(attack, target)
        assert all(candidate.x is target.task.test.x for candidate in result)
        check_unchanged(target, before, weights)

    def test_are_gone_after_an_error(self, attack: Attack, name: str):
        target = QUANTIZED[name]()
        before, weights = state(target)

        def fail(module: nn.Module, inputs: Any) -> None:  # noqa: ARG001
            raise RuntimeError("no such luck")

        handle = target.model.register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match="no such luck"):
            run(attack, target)
        handle.remove()
        check_unchanged(target, before, weights)

    def test_depend_on_the_seed_of_torch_alone(self, attack: Attack, name: str):
        target = QUANTIZED[name]()
        pairs = zip(run(attack, target), run(attack, target), strict=True)
        for first, again in pairs:
            assert first.log_probabilities is not None
            assert again.log_probabilities is not None
            assert first.log_probabilities.equal(again.log_probabilities)


def state(target: Target) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    weights = [(p.data_ptr(), p.detach().clone()) for p in target.model.parameters()]
    return target.model(target.task.test.x), weights


def check_unchanged(target: Target, before: Tensor, weights: list[tuple[int, Tensor]]) -> None:
    assert not any(module._forward_hooks for module in target.model.modules())
    for parameter, (place, exact) in zip(target.model.parameters(), weights, strict=True):
        assert parameter.data_ptr() == place
        assert parameter.equal(exact)
    assert target.model(target.task.test.x).equal(before)


def test_model_without_weights_or_neurons_is_skipped():
    target = moons_target("gll", backbone="identity")
    assert WeightQuantization().skip(target) == "it has no weights"
    assert "no nn.ReLU" in str(NeuronDropout().skip(target))
    assert WeightQuantization().skip(moons_target("gll")) is None
    assert NeuronDropout().skip(moons_target("gll")) is None


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (NeuronDropout, {"shares": [0.5, 1.0]}),
        (NeuronDropout, {"shares": [0.4, 0.25]}),
        (WeightQuantization, {"bits": [1]}),
        (GaussianNoise, {"snrs": []}),
        (GaussianNoise, {"snrs": [20.0], "draws": 0}),
        (FGSMSNR, {"snrs": [20.0], "units": "pixels"}),
    ],
)
def test_budget_that_makes_no_sense_is_refused(kind: Any, wrong: dict[str, Any]):
    with pytest.raises(ValidationError):
        kind(**wrong)
