"""Pretraining without labels: its loss, and what it learns."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from expect_refusal import refused
from make_cells import load_task, small_task
from make_trainings import DIGITS, QUICK, WILD, backbone_of, equal, few_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from lapbench.datasets.base.task import Split, Task
from lapbench.errors import LapbenchError
from lapbench.suite.components import Component, parse
from lapbench.training.simclr import SimCLR, nt_xent, pretrain
from lapbench.training.state import State
from lapbench.training.steps import DivergedError


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class TestLoss:
    @pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
    @pytest.mark.parametrize("pairs", [1, 2, 7])
    def test_it_is_the_sum_of_the_paper(self, pairs: int, temperature: float):
        z = draw(2 * pairs, 5)

        def term(i: int, j: int) -> float:
            def g(k: int) -> float:
                cosine = float(z[i] @ z[k]) / math.sqrt(float(z[i] @ z[i]) * float(z[k] @ z[k]))
                return math.exp(cosine / temperature)

            return -math.log(g(j) / sum(g(k) for k in range(2 * pairs) if k != i))

        total = sum(term(2 * k, 2 * k + 1) + term(2 * k + 1, 2 * k) for k in range(pairs))
        assert float(nt_xent(z, temperature)) == pytest.approx(total / (2 * pairs), abs=1e-12)

    def test_its_gradient_agrees_with_finite_differences(self):
        z = draw(8, 3).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: nt_xent(z, 0.3), [z], atol=1e-7)

    def test_lengths_do_not_matter(self):
        z = draw(6, 4)
        scaled = z * torch.arange(1, 7)[:, None]
        assert torch.allclose(nt_xent(scaled, 0.5), nt_xent(z, 0.5), atol=1e-12)

    def test_zero_and_low_temperature_are_finite(self):
        z = draw(6, 4).float()
        z[0] = 0
        z.requires_grad_()
        nt_xent(z, 1e-3).backward()
        assert z.grad is not None
        assert bool(z.grad.isfinite().all())

    @pytest.mark.parametrize("shape", [(3, 2), (0, 2), (4,)], ids=str)
    def test_no_pairs_are_refused(self, shape: tuple[int, ...]):
        with refused(ValueError, "nt_xent", shape):
            nt_xent(draw(*shape), 0.5)


class TestPretrain:
    def test_it_learns_features_that_tell_the_classes(self):
        task = load_task("digits")
        cell = replace(DIGITS, backbone=Component("small_resnet", {"width": 8, "blocks": 1}))
        backbone = backbone_of(cell, task)
        classifiers = (KNeighborsClassifier(1), LogisticRegression(max_iter=1000))

        def probe() -> list[float]:
            backbone.eval()
            with torch.no_grad():
                train, test = (
                    nn.functional.normalize(backbone(split.x)).numpy()
                    for split in (task.train, task.test)
                )
            y, truth = task.train.y.numpy(), task.test.y.numpy()
            return [result.fit(train, y).score(test, truth) for result in classifiers]

        before = probe()
        settings = replace(QUICK, epochs=6, batch_size=200)
        losses = pretrain(backbone, task, settings, cell.seeds)
        assert losses[-1] < losses[0] - 0.1
        for start, end in zip(before, probe(), strict=True):
            assert end > start + 0.05

    def test_it_is_the_same_again_and_not_in_another_repetition(self):
        task = few_digits()
        results = []
        for repetition in (0, 0, 1):
            torch.manual_seed(len(results))
            backbone = backbone_of(DIGITS, task)
            seeds = replace(DIGITS, repetition=repetition).seeds
            results.append((pretrain(backbone, task, QUICK, seeds), backbone.state_dict()))
        (losses, state), (again, same), (others, other) = results
        assert losses == again
        assert equal(state, same)
        assert losses != others
        assert not equal(state, other)

    def test_torchs_generator_is_as_before(self):
        task = few_digits()
        before = torch.random.get_rng_state()
        pretrain(backbone_of(DIGITS, task), task, QUICK, DIGITS.seeds)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_labels_play_no_part(self):
        task = few_digits()
        hidden = replace(task, train=Split(task.train.x, torch.full_like(task.train.y, -1)))
        losses = [
            pretrain(backbone_of(DIGITS, known), known, QUICK, DIGITS.seeds)
            for known in (task, hidden)
        ]
        assert losses[0] == losses[1]

    @pytest.mark.parametrize(
        ("count", "sizes"), [(100, [50, 50]), (101, [50, 50]), (102, [50, 50, 2]), (2, [2])]
    )
    def test_views_of_an_image_are_neighbours_and_none_is_alone(
        self, count: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
    ):
        task = few_digits(count)
        batches: list[Tensor] = []

        def note(x: Tensor, kind: str) -> Tensor:
            assert kind == "strong"
            batches.append(x)
            return x

        monkeypatch.setattr("lapbench.training.simclr.augment", note)
        pretrain(backbone_of(DIGITS, task), task, replace(QUICK, epochs=1), DIGITS.seeds)
        assert [len(x) // 2 for x in batches] == sizes
        x = torch.cat(batches)
        assert torch.equal(x[0::2], x[1::2])
        seen = x[0::2].flatten(1).unique(dim=0)
        assert len(seen) == sum(sizes)

    def test_each_epoch_is_told_with_its_loss(self):
        task = few_digits()
        told: list[tuple[int, float]] = []
        losses = pretrain(
            backbone_of(DIGITS, task),
            task,
            QUICK,
            DIGITS.seeds,
            on_epoch=lambda number, loss: told.append((number, loss)),
        )
        assert told == list(enumerate(losses, start=1))

    def test_mixed_precision_is_near_and_leaves_weights_in_float32(self):
        task = few_digits()
        losses = []
        for mixed in (False, True):
            backbone = backbone_of(DIGITS, task)
            losses.append(pretrain(backbone, task, QUICK, DIGITS.seeds, mixed_precision=mixed))
            assert {p.dtype for p in backbone.parameters()} == {torch.float32}
        assert losses[0] != losses[1]
        assert losses[0] == pytest.approx(losses[1], abs=0.05)

    def test_a_loss_that_is_not_finite_is_told(self):
        task = few_digits()
        with refused(DivergedError, "epoch 1", "simclr.learning_rate"):
            pretrain(backbone_of(DIGITS, task), task, WILD, DIGITS.seeds)

    @pytest.mark.parametrize(
        "task",
        [
            small_task(),
            load_task("karate"),
            replace(load_task("digits"), bounds=None),
            few_digits(1),
        ],
        ids=["vectors", "nodes", "no range", "one image"],
    )
    def test_other_data_are_refused_with_a_remedy(self, task: Task):
        with refused(LapbenchError, "simclr: received ") as caught:
            pretrain(nn.Identity(), task, QUICK, DIGITS.seeds)
        assert task.name in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("epochs", 0),
            ("batch_size", 1),
            ("temperature", 0),
            ("projection_size", 0),
            ("augmentation", "none"),
            ("labels", True),
        ],
    )
    def test_settings_without_meaning_are_refused(self, name: str, value: object):
        with pytest.raises(ValueError, match=name):
            parse(SimCLR, {"epochs": 5, name: value})

    def test_a_share_of_the_epochs_keeps_what_is_not_of_batches(self):
        scaled = replace(QUICK, epochs=10, batch_size=100, learning_rate=1.0).scaled(0.5)
        rate = 0.5 if QUICK.optimizer != "adam" else 0.5**0.5
        expected = replace(QUICK, epochs=5, batch_size=50, learning_rate=rate)
        assert scaled == expected


def test_stopped_pretraining_goes_on_to_the_same_backbone():
    task, simclr = few_digits(), replace(QUICK, epochs=4, schedule="cosine")
    whole, stopped = backbone_of(DIGITS, task), backbone_of(DIGITS, task)
    losses = pretrain(whole, task, simclr, DIGITS.seeds)
    states: list[State] = []
    pretrain(stopped, task, simclr, DIGITS.seeds, save=lambda make: states.append(deepcopy(make())))
    resumed, seen = backbone_of(DIGITS, task), list[int]()
    again = pretrain(
        resumed,
        task,
        simclr,
        DIGITS.seeds,
        on_epoch=lambda number, _: seen.append(number),
        saved=states[1],
    )
    assert seen == [3, 4]
    assert again == losses
    assert equal(resumed.state_dict(), whole.state_dict())
