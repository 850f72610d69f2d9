"""Suites that are named for a paper's table have its rows, numbers and budgets."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from make_frames import GLL, MANIFOLD, WNLL
from make_suites import plan_of_suite

from lapbench.methods.base.rounds import alternating_budgets
from lapbench.reporting.correspondence import published_rows
from lapbench.reporting.published import entries
from lapbench.suite.cells import Cell
from lapbench.suite.names import name_cells
from lapbench.suite.suite import load_suite
from lapbench.training.simclr import SimCLR

TABLES = {
    "gll-table3-cifar10": (GLL, "3", "cifar10"),
    "gll-table3-fashion": (GLL, "3", "fashion_mnist"),
    "gll-table4-cifar10": (GLL, "4", "cifar10"),
    "gll-table4-fashion": (GLL, "4", "fashion_mnist"),
    "gll-table4-mnist": (GLL, "4", "mnist"),
    "wnll-table2": (WNLL, "2", "mnist"),
    "wnll-table3": (WNLL, "3", "cifar10"),
    "wnll-table4": (WNLL, "4", "cifar100"),
    "wnll-table5": (WNLL, "5", "svhn"),
    "wnll-table6": (WNLL, "6", "mnist"),
    "wnll-table8": (WNLL, "8", "cifar10"),
    "manifold-table1": (MANIFOLD, "1", "cifar10"),
    "manifold-table1-verified": (MANIFOLD, "1", "cifar10"),
}
ELSEWHERE = {
    "gll-table3-cifar10": {"WNLL-DNN, ResNet-18", "WNLL-DNN, ResNet-50"},  # in wnll-table3
    "gll-table4-mnist": {"GL Natural, CW", "GL Robust, CW"},  # another base set than under FGSM
    "manifold-table1": {
        f"Manifold Regularization (small), {name}" for name in ("Verified", "Robust", "Clean")
    },
    "manifold-table1-verified": {
        f"{row}, {name}"
        for row in (
            "Manifold Regularization (large)",
            "intrinsic regularization only",
            "Hamming regularization only",
        )
        for name in ("Robust", "Clean")
    },
}
"""Numbers of a table that its suite leaves out."""
ADDED = {
    "gll-table3-cifar10": {("resnet (depth=50)", "softmax")},  # of which the table says two things
    "gll-table4-mnist": {("small_cnn", "wnll")},
    "wnll-table2": {
        ("identity", "wnll (k=14, label_weight=ratio - 1)"),
        ("identity", "wnll (k=14, label_weight=ratio)"),
    },
    "manifold-table1": {("preact_resnet", "softmax")},
    "manifold-table1-verified": {("strided_cnn", "softmax")},
}
"""Rows of a suite that the table has not, by backbone and method."""


def cells(suite: str, method: str = "") -> list[Cell]:
    """Cells of the first repetition, of a head if it is given."""
    chosen = [cell for cell, *_ in load_suite(suite).with_seeds(1).cells("cpu")]
    return [cell for cell in chosen if method in ("", cell.method.head.name)]


@cache
def beside(suite: str) -> pd.DataFrame:
    """Numbers of the table that correspond to rows of the suite."""
    paper, table, _ = TABLES[suite]
    rows = published_rows(plan_of_suite(load_suite(suite).with_seeds(1)))
    return rows[rows["source"].str.startswith(f"{paper}, table {table}, ")]


@pytest.mark.parametrize("suite", TABLES)
def test_every_number_of_the_table_stands_beside_a_row(suite: str):
    paper, table, data = TABLES[suite]
    prefix = f"{paper}, table {table}, "
    printed = {
        entry.source.removeprefix(prefix)
        for entry in entries()
        if entry.source.startswith(prefix) and data in entry.dataset and "other" not in entry.method
    }
    chosen = {source.removeprefix(prefix) for source in beside(suite)["source"]}
    assert chosen == printed - ELSEWHERE.get(suite, set())


@pytest.mark.parametrize("suite", TABLES)
def test_every_row_that_the_table_has_has_a_number(suite: str):
    plan = plan_of_suite(load_suite(suite).with_seeds(1))
    names = ["task", "backbone", "method", "training"]
    rows = pd.DataFrame(name_cells(plan.cells))
    rows["training"] = [planned.cell.training for planned in plan.cells]
    numbered = set(beside(suite)[names].itertuples(index=False, name=None))
    without = set(rows[names].itertuples(index=False, name=None)) - numbered
    if suite == "wnll-table3":  # which has SVM on all images alone
        without = {row for row in without if not ("svm" in row[2] and "first" in row[0])}
    assert {row[1:3] for row in without} == ADDED.get(suite, set())


def test_verification_is_that_of_the_table():
    rows = beside("manifold-table1-verified")
    assert rows.set_index("metric")["published"].to_dict() == {
        "verified": 0.2104,
        "robust_accuracy": 0.2556,
        "accuracy": 0.3666,
    }


@pytest.mark.parametrize("suite", ["wnll-table3", "wnll-table4", "wnll-table5"])
class TestNaturalTrainingOfWNLL:
    def test_takes_400_and_5_epochs_in_each_of_two_rounds(self, suite: str):
        for cell in cells(suite, "wnll"):
            head: Any = cell.method.create_head()
            rounds = alternating_budgets(
                cell.budget, head.rounds, head.wnll_share, head.round_factor
            )
            assert [(one.epochs, two.epochs) for one, two in rounds] == [(400, 5)] * 2
            assert [one.learning_rate for one, _ in rounds] == pytest.approx([0.05, 0.01])

    def test_halves_the_learning_rate_every_50_epochs(self, suite: str):
        budget = cells(suite)[0].budget
        factors = [budget.rate_factor(epoch) for epoch in range(budget.epochs)]
        np.testing.assert_allclose(factors, 0.5 ** (np.arange(810) // 50), rtol=1e-4)


@pytest.mark.parametrize(
    ("suite", "linear", "wnll"), [("wnll-table6", 95, 5), ("wnll-table8", 115, 5)]
)
def test_adversarial_training_of_wnll_lets_the_learning_rate_fall_once(
    suite: str, linear: int, wnll: int
):
    for cell in cells(suite, "wnll"):
        head: Any = cell.method.create_head()
        ((one, two),) = alternating_budgets(cell.budget, head.rounds, head.wnll_share)
        assert (one.epochs, two.epochs) == (linear, wnll)
        assert cell.pgd is not None


@pytest.mark.parametrize("suite", ["manifold-table1", "manifold-table1-verified"])
def test_learning_rate_of_the_sparse_manifold_paper_is_piecewise_linear(suite: str):
    for cell in cells(suite):
        rates = [
            cell.budget.learning_rate * cell.budget.rate_factor(epoch)
            for epoch in (0, 39, 40, 79, 80, 99)
        ]
        up, down, end = 0.1 / 40, 0.095 / 40, 0.005 / 20
        expected = [up / 2, 0.1 - up / 2, 0.1 - down / 2, 0.005 + down / 2, 0.005 - end / 2]
        assert rates == pytest.approx([*expected, end / 2])


def test_pretraining_is_the_same_for_all_methods_and_precedes_both_networks():
    chosen = cells("gll-table3-cifar10")
    assert {(cell.backbone.parameters["depth"], cell.method.head.name) for cell in chosen} == {
        (depth, method) for depth in (18, 50) for method in ("softmax", "gll")
    }
    assert len({repr(cell.simclr) for cell in chosen}) == 1
    assert chosen[0].simclr is not None
    assert (chosen[0].simclr.augmentation, chosen[0].budget.augmentation) == ("strong", "strong")


@pytest.mark.parametrize("suite", ["gll-table4-fashion", "gll-table4-cifar10"])
def test_units_of_table_4_are_normalised_in_training_and_attacks(suite: str):
    for cell in cells(suite):
        assert cell.robustness is not None
        assert cell.robustness.units == "normalised"
        assert cell.pgd is None or cell.pgd.units == "normalised"


def test_pretrained_networks_correspond_to_pretrained_ones_alone():
    suite = load_suite("gll-table3-cifar10")
    rows = published_rows(plan_of_suite(suite))
    assert rows["published"].tolist() == [0.9542, 0.961, 0.9654]
    simclr = "strong augmentation, optimiser not said; here: SimCLR at temperature 0.5, 1000 epochs"
    assert rows["remarks"].str.contains(simclr).all()
    assert rows["remarks"].str.contains(", then 800 epochs of sgd").all()
    assert published_rows(plan_of_suite(replace(suite, simclr=None))).empty


def test_networks_that_are_not_pretrained_correspond_without_pretraining_alone():
    suite = load_suite("wnll-table5").with_seeds(1)
    assert not published_rows(plan_of_suite(suite)).empty
    pretrained = replace(suite, simclr=SimCLR(epochs=1))
    assert published_rows(plan_of_suite(pretrained)).empty
