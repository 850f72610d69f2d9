"""Every backbone trains under every method, on random tensors."""

from dataclasses import replace

import pytest
import torch
from make_cells import BACKBONES, IMAGE_BACKBONES, METHODS, OPTIONS, images, load_task, small_cell

from lapbench.methods.base.activations import count_relus
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.capabilities import finish
from lapbench.suite.components import Component
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train
from lapbench.training.metrics import predict

IMAGES = images(3, 8, samples=24, classes=2)
RELUS_NEEDED = {"label_smoothness": 2, "sparse_manifold": 1}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_trains_under_every_method(backbone: str, method: str):
    component = Component(backbone, OPTIONS.get(backbone, {}))
    # WNLL has two phases, and each takes an epoch.
    budget = Budget(epochs=2 if method == "wnll" else 1, batch_size=60, learning_rate=0.01)
    cell = replace(small_cell(method), backbone=component, budget=budget)
    task = IMAGES if backbone in IMAGE_BACKBONES else load_task("karate")
    model = cell.build_model(task)
    assert cell.method.create_head().skip(task) is None
    reasons = [term.skip(model) for term in cell.method.create_terms()]
    if count_relus(model) < RELUS_NEEDED.get(method, 0):
        assert "nn.ReLU" in str(reasons)
        return
    assert not any(reasons)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    losses: list[float] = []

    def observe(epoch: Epoch) -> None:
        losses.extend([epoch.curves["training_loss"]] if epoch.number else [])

    recipe, observer = cell.build_recipe(task), TrainingObserver(epoch=observe)
    train(model, task, cell.budget, cell.seeds, recipe, observer)
    assert len(losses) == budget.epochs
    assert torch.tensor(losses).isfinite().all()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    pairs = list(zip(model.parameters(), before, strict=True))
    assert not pairs or any(not torch.equal(*pair) for pair in pairs)
    finish(model, task, cell.seeds.stream("finish"))
    predicted = predict(model.eval(), task.test.x, 60)
    assert predicted.isfinite().all()
    torch.testing.assert_close(predicted.exp().sum(dim=1), torch.ones(len(task.test)))
