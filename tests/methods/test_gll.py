"""The graph learning layer as a method: base sets, loss, clusters."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from expect_refusal import refused
from make_cells import small_cell

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.gll import GraphLearningLayer, value_loss
from lapbench.methods.graph import Laplace
from lapbench.reports.figures.gll_fig3 import spread
from lapbench.suite.components import Component
from lapbench.training.loop import train


def gll_model(**options: object) -> tuple[Any, Task]:
    """A GLL model in its first epoch."""
    cell = small_cell("gll", **options)
    task = cell.load_task()
    model = cell.build_model(task)
    model.start_epoch(task, cell.seeds.stream("base", 1))
    return model, task


@pytest.mark.parametrize("update", ["random", "fixed"])
def test_gll_base_set_is_balanced_and_redrawn_unless_it_is_fixed(update: str):
    cell = small_cell("gll", base_update=update)
    task = cell.load_task()
    model = cell.build_model(task)
    rows = [model.start_epoch(task, cell.seeds.stream("base", epoch)) for epoch in (1, 2)]
    for drawn in rows:
        assert task.train.y[drawn].bincount().tolist() == [10, 10]
        assert len(drawn.unique()) == 20
    assert torch.equal(*rows) == (update == "fixed")
    assert torch.equal(task.train.x[rows[1]], model.base.x)


@pytest.mark.parametrize(("option", "expected"), [("all", 100), (7, 14)])
def test_gll_evaluates_with_the_asked_base_set(option: object, expected: int):
    model, task = gll_model(evaluation_base_per_class=option)
    model.finish(task, small_cell("gll").seeds.stream("finish"))
    assert len(model.base) == expected


def test_gll_options_reach_the_layer():
    model, task = gll_model(k=9, tau=0.2, bandwidth=5.0)
    x = task.test.x
    features = model.features(torch.cat([model.base.x, x]))
    labels = torch.eye(2)[model.base.y]
    expected = GraphLearningLayer(9, Laplace(0.2), 5.0)(features, labels)
    torch.testing.assert_close(model.solve(x), expected)


def test_value_loss_by_hand():
    """A slightly negative u counts as 0; the row of class −1 is left out."""
    values = torch.tensor([[-1e-7, 1.0], [0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
    loss = value_loss(values, torch.tensor([0, 1, -1]))
    expected = -(math.log(1e-8) + math.log(0.5 + 1e-8)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_gll_loss_is_that_of_unnormalised_values():
    """With τ > 0 the rows of u sum to less than 1, and the loss keeps that."""
    model, task = gll_model(tau=0.5)
    x, y = task.test.x, task.test.y
    values = model.solve(x)
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
        cell = replace(cell, backbone=plane, budget=Budget(epochs=60, learning_rate=0.02))
        model = cell.build_model(task)
        train(model, task, cell.budget, cell.seeds)
        features = model.features(task.train.x).detach().numpy()
        spreads.append(spread(features, task.train.y.numpy()))
    assert spreads[0] > 1.2 * spreads[1] > 1.2**2 * spreads[2], spreads


def test_gll_predicts_the_label_mean_where_no_label_reaches():
    model, task = gll_model(tau=0.1, bandwidth=1e-3)
    base = model.base
    keep = torch.cat([(base.y == 0).nonzero()[:9, 0], (base.y == 1).nonzero()[:3, 0]])
    model.base = Split(base.x[keep], base.y[keep])
    with pytest.warns(RuntimeWarning, match="disconnected"):
        predicted = model(task.test.x)
    torch.testing.assert_close(predicted.exp(), torch.tensor([[0.75, 0.25]]).expand(40, 2))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"evaluation_base_per_class": 51}, ("evaluation_base_per_class: ", 51, 50)),
        ({"base_per_class": 50}, ("base_per_class: ", 50, 49)),
        ({"base_per_class": 1000}, ("base_per_class: ", 1000, 49)),
    ],
)
def test_base_set_that_the_training_data_cannot_give_is_refused(
    options: dict[str, int], named: tuple[object, ...]
):
    with refused(ValueError, *named):
        gll_model(**options)


def test_prediction_without_a_base_set_is_refused():
    cell = small_cell("gll")
    task = cell.load_task()
    with refused(ValueError, "base_labels: ", "0 rows"):
        cell.build_model(task)(task.test.x)


@pytest.mark.parametrize("wrong", [2, -2])
def test_class_index_out_of_range_is_named(wrong: int):
    task = small_cell("gll").load_task()
    y = task.train.y.clone()
    y[5] = wrong
    with refused(ValueError, f"train label {wrong}", "row 5", "0..1"):
        Task("toy", Split(task.train.x, y), task.validation, task.test, num_classes=2)
