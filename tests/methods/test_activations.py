"""Terms see what enters and leaves every ReLU."""

import pytest
import torch
from expect_refusal import refused
from torch import Tensor, nn

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.backbones.identity import Identity
from lapbench.methods.backbones.mlp import MLP
from lapbench.methods.backbones.small_cnn import SmallCNN
from lapbench.methods.base.activations import count_relus, observing_relus
from lapbench.methods.softmax import Softmax


class Crossed(nn.Module):
    """Uses its ReLUs in another order than that of their declaration, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.second(self.first(self.second(x) - 1) - 1)
        return features


def test_observed_are_inputs_and_outputs_in_the_order_of_the_pass_which_stays_the_same():
    x = torch.tensor([[-1.0, 0.5, 1.5, 2.5]], requires_grad=True)
    seen: list[tuple[Tensor, Tensor]] = []
    with observing_relus(module := Crossed(), lambda pre, post: seen.append((pre, post))):
        observed = module(x)
    assert torch.equal(observed, module(x))
    entered = torch.tensor([[-1, 0.5, 1.5, 2.5], [-1, -0.5, 0.5, 1.5], [-1, -1, -0.5, 0.5]])
    before, after = (torch.cat(part) for part in zip(*seen, strict=True))
    assert torch.equal(before, entered)
    assert torch.equal(after, entered.clamp_min(0))
    (gradient,) = torch.autograd.grad(before.sum(), x)
    assert gradient.tolist() == [[1, 2, 3, 3]]


def test_observing_ends_with_the_block_even_when_it_fails():
    seen: list[Tensor] = []
    with (
        pytest.raises(ZeroDivisionError),
        observing_relus(module := Crossed(), lambda pre, post: seen.append(pre / (1 // len(seen)))),
    ):
        module(torch.ones(1, 1))
    module(torch.ones(1, 1))
    assert seen == []


def test_relu_in_place_is_refused_as_its_input_is_lost():
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(inplace=True))
    with refused(ValueError, "inplace=True"), observing_relus(module, lambda pre, post: None):
        module(torch.ones(1, 1))


@pytest.mark.parametrize(("backbone", "expected"), [(Identity(), 0), (MLP(), 2), (SmallCNN(), 6)])
def test_count_is_that_of_the_passes_through_the_backbones(
    backbone: Identity | MLP | SmallCNN, expected: int
):
    x = torch.rand(2, 1, 8, 8)
    task = Task("toy", *[Split(x, torch.tensor([0, 1]))] * 3, num_classes=2)
    model = Softmax().build(backbone.build(task), task)
    seen: list[Tensor] = []
    with observing_relus(model, lambda pre, post: seen.append(pre)):
        model(x)
    assert count_relus(model) == len(seen) == expected
