"""Attacks against those of foolbox, on a softmax model in float64."""

import warnings
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from make_attacks import right, trained
from make_cells import create
from torch import Tensor, nn

from lapbench.attacks.base.target import Target
from lapbench.methods.base.model import Model

with warnings.catch_warnings():
    # foolbox 3.3 imports from scipy.ndimage.filters, which SciPy deprecates.
    warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
    import foolbox

EPSILON, ALPHA = 0.1, 0.05


class Logits(nn.Module):
    """What foolbox attacks: the scores before the softmax."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.outputs(self.model.features(x))


@cache
def both() -> tuple[Target, Any, Tensor, Tensor]:
    """The same model for lapbench and foolbox, and test images of known class."""
    model, task, seeds = trained("softmax")
    model = deepcopy(model).double().eval()
    target = Target(model, task, seeds)
    theirs = foolbox.PyTorchModel(Logits(model).eval(), bounds=(0, 1), device="cpu")
    return target, theirs, task.test.x[:240].double(), task.test.y[:240]


def candidates_of(name: str, **options: Any) -> list[Tensor]:
    target, _, x, y = both()
    torch.manual_seed(0)
    made = create("attacks", name, **options)
    return [candidate.x for candidate in made.perturb(target, x, y)]


def clear(x: Tensor, y: Tensor) -> Tensor:
    """Where no rounding changes the sign of the gradient."""
    gradient = both()[0].gradient(x, y).abs()
    return (gradient > 1e-7) | (gradient == 0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fgsm(norm: str):
    _, theirs, x, y = both()
    attacks = foolbox.attacks
    kind = attacks.LinfFastGradientAttack if norm == "linf" else attacks.L2FastGradientAttack
    expected = kind(random_start=False).run(theirs, x, y, epsilon=EPSILON)
    (ours,) = candidates_of("fgsm", epsilons=[EPSILON], norm=norm)
    known = clear(x, y)
    assert known.float().mean() > 0.9
    torch.testing.assert_close(ours[known], expected[known], rtol=0, atol=1e-6)
    assert (ours - x).abs().max() > 0.05


def test_ifgsm():
    """Compared where the gradient was clear on the way, which a plain loop tells."""
    _, theirs, x, y = both()
    *_, ours = candidates_of("ifgsm", epsilons=[EPSILON], step_size=ALPHA)
    attack = foolbox.attacks.LinfBasicIterativeAttack(
        abs_stepsize=ALPHA, steps=10, random_start=False
    )
    expected = attack.run(theirs, x, y, epsilon=EPSILON)
    known, path = torch.ones_like(x, dtype=torch.bool), x
    for _ in range(10):
        known &= clear(path, y)
        moved = path + ALPHA * both()[0].gradient(path, y).sign()
        path = moved.clamp(x - EPSILON, x + EPSILON).clamp(0, 1)
    # An image in which one pixel went another way is another image from then on.
    same = known.flatten(1).all(dim=1)
    assert same.sum() > 25
    torch.testing.assert_close(ours[same], expected[same], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.08), ("l2", 0.4)])
def test_pgd(norm: str, epsilon: float):
    """Accuracy in the worst of five restarts, on 240 images."""
    target, theirs, x, y = both()
    kind = foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD
    attack = kind(rel_stepsize=0.125, steps=20, random_start=True)
    options = {"steps": [20], "restarts": 5, "relative_step_size": 0.125, "norm": norm}
    ours = candidates_of("pgd", epsilons=[epsilon], **options)
    expected = [attack.run(theirs, x, y, epsilon=epsilon) for _ in range(5)]
    robust = [
        float(torch.stack([right(target, image, y) for image in images]).all(dim=0).float().mean())
        for images in (ours, expected)
    ]
    assert 0.1 < robust[1] < 0.7
    assert abs(robust[0] - robust[1]) <= 0.01


def test_deepfool():
    target, theirs, x, y = both()
    (ours,) = candidates_of("deepfool", steps=30)
    attack = foolbox.attacks.L2DeepFoolAttack(steps=30, candidates=10, overshoot=0.02)
    expected = attack.run(theirs, x, foolbox.criteria.Misclassification(y))
    assert not right(target, ours, y).any()
    start = right(target, x, y)
    lengths = [(image - x).flatten(1).norm(dim=1) for image in (ours, expected)]
    torch.testing.assert_close(lengths[0], lengths[1], rtol=1e-6, atol=1e-9)
    assert (lengths[0][~start] == 0).all()
    assert (lengths[0][start] > 0).all()
