"""Budgets: learning rates by hand, optimisers, and budgets at a scale."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from expect_refusal import refused
from pydantic import TypeAdapter, ValidationError

from lapbench.methods.base.budget import Budget
from lapbench.training.steps import make_optimizer


def budget(**fields: Any) -> Budget:
    """As from a suite."""
    read: Budget = TypeAdapter(Budget).validate_json(json.dumps({"epochs": 100, **fields}))
    return read


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 1.0, 99: 1.0}),
        ("cosine", {0: 1.0, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5, 75: (1 - math.sqrt(0.5)) / 2}),
        ({"steps": [[25, 0.1], [75, 0.5]]}, {0: 1.0, 24: 1.0, 25: 0.1, 74: 0.1, 75: 0.5, 99: 0.5}),
        # Of the sparse-manifold paper, in units of its peak; an epoch has the rate of its middle.
        (
            {"linear": [[0, 0], [40, 1], [80, 0.05], [100, 0]]},
            {0: 0.5 / 40, 20: 20.5 / 40, 59: 1 - 0.95 * 19.5 / 40, 99: 0.05 * 0.5 / 20},
        ),
    ],
)
def test_learning_rate_follows_the_schedule_which_is_stored_and_read_again(
    schedule: Any, expected: dict[int, float]
):
    read, adapter = budget(schedule=schedule), TypeAdapter(Budget)
    assert {epoch: read.rate_factor(epoch) for epoch in expected} == pytest.approx(expected)
    assert adapter.validate_json(adapter.dump_json(read)) == read


@pytest.mark.parametrize(
    "schedule",
    [
        "linear",
        {},
        {"steps": []},
        {"steps": [[50, 0.1], [20, 0.01]]},
        {"steps": [[50, 0.1], [50, 0.01]]},
        {"steps": [[50, -0.1]]},
        {"steps": [[50, "0.1"]]},
        {"steps": [[1, 1]], "linear": [[1, 1]]},
    ],
)
def test_other_schedules_are_refused_with_those_that_are_accepted(schedule: Any):
    with refused(ValidationError, "'constant', 'cosine'", "steps"):
        budget(schedule=schedule)


def test_a_share_of_a_budget_has_its_steps_at_the_same_share_of_the_epochs():
    given = budget(schedule={"steps": [[25, 0.1], [50, 0.01]]}).scaled(0.2)
    assert given.epochs == 20
    rates = [given.rate_factor(epoch) for epoch in (0, 4, 5, 9, 10, 19)]
    assert rates == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [(1000, 0.2, 200), (1000, 0.01, 50), (128, 0.1, 50), (20, 0.1, 20)],
)
def test_batches_shrink_with_the_data_to_50_samples(size: int, share: float, expected: int):
    assert budget(batch_size=size).scaled(share).batch_size == expected


@pytest.mark.parametrize(
    ("optimizer", "expected"), [("adam", 0.5), ("sgd", 0.25), ("nesterov", 0.25)]
)
def test_the_learning_rate_shrinks_with_the_batch(optimizer: str, expected: float):
    given = budget(batch_size=1000, learning_rate=1.0, optimizer=optimizer)
    assert given.scaled(0.25).learning_rate == pytest.approx(expected)
    assert replace(given, batch_size=50).scaled(0.25).learning_rate == 1.0


def test_four_epochs_are_left_of_a_budget_and_none_of_none():
    assert budget().scaled(1e-6).epochs == 4
    assert budget(epochs=3).scaled(0.5).epochs == 3
    assert budget(epochs=0).scaled(0.5).epochs == 0
    assert budget(schedule="cosine").scaled(1.0) == budget(schedule="cosine")


def test_nesterov_looks_ahead():
    """Its first step is (1 + 0.9) times that of plain gradient descent."""
    steps = {}
    for optimizer in ("sgd", "nesterov"):
        weight = torch.nn.Parameter(torch.zeros(()))
        step = make_optimizer([weight], budget(optimizer=optimizer, learning_rate=0.5))
        weight.backward()
        step.step()
        steps[optimizer] = weight.item()
    assert steps == pytest.approx({"sgd": -0.5, "nesterov": -0.95})


def test_a_budget_in_words_names_what_training_depends_on():
    given = budget(schedule={"steps": [[50, 0.1]]}, augmentation="crop-flip", optimizer="nesterov")
    assert str(given) == (
        "100 epochs of nesterov, learning rate 0.001 (× 0.1 from epoch 50), weight decay 0, "
        "batches of 200, augmentation crop-flip"
    )
    assert str(budget(epochs=0)) == "no training"
