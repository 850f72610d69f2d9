"""The graph learning layer as a method: base sets, loss, clusters."""

import math
from dataclasses import replace

import pytest
import torch
from table import small_cell

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.model import Model
from lapbench.methods.gll import GraphLearningLayer, value_loss
from lapbench.methods.graph import Laplace
from lapbench.reports.figures.gll_fig3 import spread
from lapbench.suite.components import Component
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train


def gll_model(**options: object) -> tuple[Model, Task]:
    """A GLL model in its first epoch."""
    cell = small_cell("gll", **options)
    task = cell.load_task()
    model = cell.build_model(task)
    model.start_epoch(task, cell.seeds.stream("base", 1))
    return model, task


def test_gll_base_set_is_balanced_held_out_and_redrawn():
    cell = small_cell("gll")
    task = cell.load_task()
    model = cell.build_model(task)
    rows = [model.start_epoch(task, cell.seeds.stream("base", epoch)) for epoch in (1, 2)]
    for drawn in rows:
        assert task.train.y[drawn].bincount().tolist() == [10, 10]
        assert len(drawn.unique()) == 20
    assert not torch.equal(*rows)


def test_gll_base_set_can_stay_fixed():
    model, task = gll_model(base_update="fixed")
    cell = small_cell("gll")
    again = model.start_epoch(task, cell.seeds.stream("base", 2))
    assert torch.equal(task.train.x[again], model.base.x)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("option", "expected"), [("all", 100), (7, 14)])
def test_gll_evaluates_with_the_asked_base_set(option: object, expected: int):
    model, task = gll_model(evaluation_base_per_class=option)
    model.finish(task, small_cell("gll").seeds.stream("finish"))
    assert len(model.base) == expected  # type: ignore[attr-defined]


def test_gll_options_reach_the_layer():
    model, task = gll_model(k=9, tau=0.2, bandwidth=5.0)
    x = task.test.x
    features = model.features(torch.cat([model.base.x, x]))  # type: ignore[attr-defined]
    labels = torch.eye(2)[model.base.y]  # type: ignore[attr-defined]
    expected = GraphLearningLayer(9, Laplace(0.2), 5.0)(features, labels)
    torch.testing.assert_close(model.solve(x), expected)  # type: ignore[attr-defined, operator]


def test_value_loss_by_hand():
    """A slightly negative u counts as 0; the row of class −1 is left out."""
    values = torch.tensor([[-1e-7, 1.0], [0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
    found = value_loss(values, torch.tensor([0, 1, -1]))
    expected = -(math.log(1e-8) + math.log(0.5 + 1e-8)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_gll_loss_is_that_of_unnormalised_values():
    """With τ > 0 the rows of u sum to less than 1, and the loss keeps that."""
    model, task = gll_model(tau=0.5)
    x, y = task.test.x, task.test.y
    values = model.solve(x)  # type: ignore[attr-defined, operator]
    assert values.sum(dim=1).max() < 0.999
    expected = -(values.gather(1, y[:, None])[:, 0] + 1e-8).log().mean()
    torch.testing.assert_close(model.loss(x, y), expected)


# At tau = 0 the clusters go on moving apart, until no weight joins them.
@pytest.mark.filterwarnings("ignore:graph equation disconnected:RuntimeWarning")
def test_gll_clusters_more_tightly_as_tau_grows():
    """Two moons in the plane (GLL paper, figure 3), on fewer points and epochs."""
    spreads = []
    for tau in (0.0, 0.01, 0.1):
        cell = small_cell("gll", tau=tau, bandwidth=1.0, base_per_class=5, base_update="fixed")
        task = cell.load_task()
        plane = Component("mlp", {"feature_size": 2})
        cell = replace(cell, backbone=plane, budget=Budget(epochs=150, learning_rate=0.01))
        model = cell.build_model(task)
        train(model, task, cell.budget, cell.seeds)
        features = model.features(task.train.x).detach().numpy()
        spreads.append(spread(features, task.train.y.numpy()))
    assert spreads[0] > 1.2 * spreads[1] > 1.2**2 * spreads[2], spreads


def test_gll_predicts_the_label_mean_where_no_label_reaches():
    model, task = gll_model(tau=0.1, bandwidth=1e-3)
    base = model.base  # type: ignore[attr-defined]
    keep = torch.cat([(base.y == 0).nonzero()[:9, 0], (base.y == 1).nonzero()[:3, 0]])
    model.base = Split(base.x[keep], base.y[keep])  # type: ignore[assignment]
    with pytest.warns(RuntimeWarning, match="disconnected"):
        predicted = model(task.test.x)
    torch.testing.assert_close(predicted.exp(), torch.tensor([[0.75, 0.25]]).expand(40, 2))


def test_gll_without_a_base_set_says_so():
    cell = small_cell("gll")
    task = cell.load_task()
    with pytest.raises(ValueError, match="base_labels: received 0 rows"):
        cell.build_model(task)(task.test.x)


def test_gll_refuses_a_larger_evaluation_base_than_there_is():
    with pytest.raises(ValueError, match=r"evaluation_base_per_class: received 51.* 1\.\.50 and"):
        gll_model(evaluation_base_per_class=51)


@pytest.mark.parametrize("count", [50, 1000])
def test_gll_refuses_a_base_set_that_leaves_nothing_to_learn(count: int):
    with pytest.raises(ValueError, match=r"base_per_class: received .* accepted are 1\.\.49"):
        gll_model(base_per_class=count)


def test_held_out_rows_are_in_no_mini_batch():
    cell = small_cell("gll")
    task = cell.load_task()
    model = cell.build_model(task)
    seen: list[torch.Tensor] = []
    loss = model.loss
    model.loss = lambda x, y: (seen.append(x), loss(x, y))[1]  # type: ignore[method-assign]
    held_out: list[torch.Tensor] = []

    def observe(epoch: Epoch) -> None:
        if epoch.number:
            batch = torch.cat(seen)
            base = task.train.x[epoch.held_out]
            assert len(batch) + len(base) == len(task.train)
            assert not (batch[:, None] == base[None]).all(dim=2).any()
            held_out.append(epoch.held_out)
            seen.clear()

    train(model, task, cell.budget, cell.seeds, observer=TrainingObserver(epoch=observe))
    assert len(held_out) == cell.budget.epochs


@pytest.mark.parametrize("wrong", [2, -2])
def test_class_index_out_of_range_is_named(wrong: int):
    task = small_cell("gll").load_task()
    y = task.train.y.clone()
    y[5] = wrong
    with pytest.raises(ValueError, match=rf"train label {wrong} in row 5; accepted are 0\.\.1"):
        Task("toy", Split(task.train.x, y), task.validation, task.test, num_classes=2)
