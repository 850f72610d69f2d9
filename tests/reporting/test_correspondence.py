"""Published numbers stand beside cells that correspond, and beside no others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from make_suites import plan_of_suite

from lapbench.reporting.correspondence import published_rows
from lapbench.reporting.published import entries
from lapbench.reports.published import COLUMNS
from lapbench.results.folder import ResultsFolder
from lapbench.suite.components import Component
from lapbench.suite.plan import Plan
from lapbench.suite.suite import load_suite
from lapbench.training import adversarial

SUITE = """
title = "MNIST"
seeds = 3
{before}
methods = [{method}]

[[tasks]]
dataset = "mnist"
backbone = "small_cnn"
mnist.validation = 0

[budget]
epochs = 30
learning_rate = 0.003
{after}
"""
ATTACKS = """
[robustness]
samples = 128
epsilon = 0.3
units = "normalised"
[[robustness.attacks]]
name = "fgsm"
label = "one step"
units = "normalised"
epsilons = [0.1, 0.3]
[[robustness.attacks]]
name = "cw-gll"
units = "normalised"
constants = [1.0, 20.0]
"""
PGD = "[pgd]\nepsilon = 0.3\nstep_size = 0.01\nsteps = 40\n"
FGSM = '[robustness]\nepsilon = 0.3\n[[robustness.attacks]]\nname = "fgsm"\nepsilons = [0.3]\n'
GLL_ROW = (
    '{ name = "gll", gll = { k = 24, base_per_class = 10, evaluation_base_per_class = 1000 } }'
)


def plan_of(suite: str | Path) -> Plan:
    """The plan of a suite file, whose data are not read."""
    return plan_of_suite(load_suite(suite))


def mnist(
    folder: Path, method: str = '"softmax"', before: str = "", after: str = "", **changes: str
) -> Path:
    """A suite on MNIST."""
    text = SUITE.format(method=method, before=before, after=after)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "suite.toml").write_text(text)
    return folder / "suite.toml"


def on_mnist(folder: Path, *arguments: str, **more: str) -> pd.DataFrame:
    """What is published beside a method on MNIST."""
    return published_rows(plan_of(mnist(folder, *arguments, **more)))


def numbers(rows: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Published numbers by what they are of."""
    keys = ["attack", "norm", "parameter", "level", "metric"]
    return {tuple(row[key] for key in keys): row["published"] for row in rows.to_dict("records")}


def test_accuracies_and_attacks_at_their_levels_correspond(tmp_path: Path):
    rows = on_mnist(tmp_path, after=ATTACKS)
    assert numbers(rows) == {
        ("", "", "", 0.0, "accuracy"): 0.9925,
        ("one step", "linf", "epsilon", 0.3, "robust_accuracy"): 0.9426,
        ("cw-gll", "", "c", 20.0, "robust_accuracy"): 0.9724,
    }
    assert rows.columns.tolist() == COLUMNS
    names = {"task": "mnist", "backbone": "small_cnn", "method": "softmax"}
    assert (rows[list(names)] == list(names.values())).all(axis=None)
    assert (rows["training"] == "natural").all()


@pytest.mark.parametrize("share", ["0.3", "0.30002"])
def test_a_rounded_level_is_that_level(tmp_path: Path, share: str):
    rows = on_mnist(tmp_path, after=ATTACKS.replace("0.3]", f"{share}]"))
    assert float(share) in set(rows["level"])


@pytest.mark.parametrize("other", ['units = "input"', 'units = "normalised"\nnorm = "l2"'])
def test_attacks_in_other_units_or_norms_do_not_correspond(tmp_path: Path, other: str):
    attacked = ATTACKS.replace('label = "one step"\nunits = "normalised"', other)
    after = attacked.replace('epsilon = 0.3\nunits = "normalised"', "epsilon = 1.0")
    rows = on_mnist(
        tmp_path, after=after + '[[robustness.attacks]]\nname = "square"\nepsilons = [1.0]\n'
    )
    assert "epsilon" not in set(rows["parameter"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mnist.validation = 0", ""),
        ("mnist.validation = 0", "mnist.validation = 0\nmnist.train_size = 1000"),
        ("mnist.validation = 0", "mnist.validation = 0\nlabeled = 100"),
        ("mnist.validation = 0", "mnist.validation = 0\nsmall_cnn.width = 16"),
        ('"small_cnn"', '"mlp"'),
        ('"small_cnn"', '"identity"'),
        ('["softmax"]', '["softmax + parseval"]'),
        ('["softmax"]', '["gll"]'),
        ('["softmax"]', '[{ name = "softmax", train = "inner" }]'),
        ("[budget]", '[evaluation]\nsplit = "validation"\n[budget]'),
    ],
)
def test_other_data_labels_backbones_and_methods_do_not_correspond(
    tmp_path: Path, old: str, new: str
):
    of_table_4 = on_mnist(tmp_path)["source"].str.contains("table 4")
    assert of_table_4.tolist() == [True]
    assert not on_mnist(tmp_path, **{old: new})["source"].str.contains("table 4").any()


@pytest.mark.parametrize(
    ("old", "new", "published"),
    [
        ("", "", 0.9651),
        ("k = 24", "k = 25", None),
        ("evaluation_base_per_class = 1000", "tau = 0.0", None),
        ("k = 24", "k = 24, tau = 0.01", None),
        ("k = 24", "k = 24, base_update = 'fixed'", None),
    ],
)
def test_methods_correspond_with_all_options_or_not_at_all(
    tmp_path: Path, old: str, new: str, published: float | None
):
    rows = on_mnist(tmp_path, GLL_ROW.replace(old, new), after=ATTACKS)
    result = numbers(rows[rows["attack"] == "one step"])
    assert list(result.values()) == ([] if published is None else [published])


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [("40", "40", 2), ("40", "5", 0), ("epsilon = 0.3", "epsilon = 0.2", 0)],
)
def test_adversarial_training_corresponds_with_the_same_attack(
    tmp_path: Path, old: str, new: str, result: int
):
    after = PGD.replace(old, new) + FGSM
    rows = on_mnist(tmp_path, before='training = "pgd"', after=after)
    assert len(rows) == result
    assert all("table 6" in source for source in rows["source"])


def test_adversarial_training_in_other_units_does_not_correspond(tmp_path: Path):
    """The GLL paper's ε = 0.3 is of normalised images."""
    gll = next(e for e in entries() if e.source.endswith("table 4, MLP Robust, Natural"))
    assert gll.pgd == adversarial.AdversarialTraining(0.3, 0.01, 5, "normalised")
    after = PGD.replace("40", "5")
    assert on_mnist(tmp_path, before='training = "pgd"', after=after).empty
    rows = on_mnist(tmp_path, before='training = "pgd"', after=after + 'units = "normalised"\n')
    assert numbers(rows) == {("", "", "", 0.0, "accuracy"): 0.992}


def test_numbers_correspond_at_a_scale_with_as_small_a_base_set(tmp_path: Path):
    """And say how much of the training data was used."""
    scaled = load_suite(mnist(tmp_path, GLL_ROW, after=ATTACKS)).scaled(0.1)
    rows = published_rows(plan_of_suite(scaled))
    (cell, *_), *_ = scaled.cells("cpu")
    assert cell.method.head.parameters["evaluation_base_per_class"] == 100
    assert len(rows) == 2
    assert rows["remarks"].str.contains("here 0.1 of the training samples").all()


def test_natural_numbers_do_not_stand_beside_adversarial_training(tmp_path: Path):
    both = 'training = ["natural", "pgd"]'
    rows = on_mnist(tmp_path, before=both, after=PGD.replace("40", "5"))
    assert set(rows["training"]) == {"natural"}


@pytest.mark.parametrize(
    ("steps", "restarts", "result"),
    [("[20]", 1, 1), ("[5, 20]", 1, 1), ("[20, 50]", 1, 0), ("[20]", 2, 0)],
)
def test_iterated_attacks_correspond_with_as_many_steps_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: str, restarts: int, result: int
):
    softmax = next(e for e in entries() if e.source.endswith("MLP Natural, FGSM"))
    attack = {"pgd": {"epsilons": [0.3], "steps": [20]}}
    monkeypatch.setattr(
        "lapbench.reporting.correspondence.entries", lambda: [replace(softmax, attack=attack)]
    )
    about = f"steps = {steps}\nrestarts = {restarts}\n"
    rows = on_mnist(tmp_path, after=FGSM.replace("fgsm", "pgd") + about)
    assert len(rows) == result


@pytest.mark.parametrize(
    ("steps", "table"), [("", None), ("steps = 40", "IFGSM40"), ("steps = 100", "IFGSM100")]
)
def test_ifgsm_corresponds_with_the_steps_that_are_given(
    tmp_path: Path, steps: str, table: str | None
):
    """Without, it takes 150."""
    attack = f"{FGSM.replace('fgsm', 'ifgsm')}step_size = 0.01\n{steps}\n"
    rows = on_mnist(tmp_path, before='training = "pgd"', after=PGD + attack)
    sources = rows.loc[rows["attack"] == "ifgsm", "source"]
    assert [source.rpartition("A_rob ")[2] for source in sources] == ([f"({table})"] * bool(table))


def test_plug_ins_of_a_name_with_other_options_do_not_correspond(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """As if the file were of a data set that somebody else wrote."""
    softmax = next(e for e in entries() if e.source.endswith("MLP Natural, Natural"))
    assert len(on_mnist(tmp_path)) == 1
    other = replace(softmax, dataset={"mnist": {"validation": 0, "rotated": True}})
    monkeypatch.setattr("lapbench.reporting.correspondence.entries", lambda: [other])
    assert on_mnist(tmp_path).empty


def test_suites_of_the_papers_have_the_papers_numbers():
    rows = published_rows(plan_of("bilevel-table1"))
    accuracies = rows[rows["metric"] == "accuracy"].set_index("method")["published"]
    assert accuracies.to_dict() == {
        "GNN, A_obs": 0.770,
        "GNN, BO": 0.762,
        "GNN, BO+Reg": 0.803,
        "GNN, BO+G2G": 0.820,
        "Laplacian, A_obs": 0.717,
        "Laplacian, BO, unrolled": 0.762,
        "Laplacian, BO+Reg, unrolled": 0.783,
        "Laplacian, BO+G2G, unrolled": 0.762,
    }
    outer = rows[rows["metric"] == "outer_accuracy"].set_index("method")["published"]
    assert outer["GNN, A_obs"] == 0.774
    assert len(outer) == 8
    selected = rows["remarks"].str.contains("selects on test")
    assert set(rows.loc[selected, "method"]) == {m for m in outer.index if "unrolled" in m}


def test_raw_pixels_correspond_with_the_image_itself_left_out():
    rows = published_rows(plan_of("wnll-table2")).set_index("method")
    assert rows["published"].to_dict() == {
        "softmax": 0.9265,
        "wnll (k=29, label_weight=ratio - 1)": 0.9774,
        "wnll (k=29, label_weight=ratio)": 0.9774,
    }
    remarks = rows.loc["wnll (k=29, label_weight=ratio)", "remarks"]
    assert remarks.startswith("the paper's 30 and 15 neighbours count the image itself")
    assert "its code has |X|/|X_te|" in remarks


def test_nothing_is_published_on_data_of_no_paper():
    rows = published_rows(plan_of("default"))
    assert rows.empty
    assert rows.columns.tolist() == COLUMNS


def test_differences_of_budgets_are_said_in_words(tmp_path: Path):
    rows = on_mnist(tmp_path, after=ATTACKS).set_index("attack")
    budget = (
        "budget published: 100 epochs of Adam, learning rate 0.01 and a tenth of it every 25 "
        "epochs, batches of 1,000; here: 30 epochs of adam, learning rate 0.003 (constant), weight "
        "decay 0, batches of 200, 3 repetition(s); "
    )
    assert all(text.startswith(budget) for text in rows["remarks"])
    assert "attacked: published 10,000 samples, here 128; " in rows.loc["one step", "remarks"]
    assert "attacked" not in rows.loc["", "remarks"]
    assert rows.loc["cw-gll", "remarks"].endswith("; few and short steps, so a weak attack")
    source = rows.loc["one step", "source"]
    assert source == "GLL paper (arXiv:2412.08016), table 4, MLP Natural, FGSM"


def test_plans_that_hold_published_figures_can_be_read(tiny_suite: Path, tmp_path: Path):
    """They were written by suites that had such figures themselves."""
    folder = ResultsFolder(tmp_path)
    folder.write_plan(plan_of(tiny_suite))
    tree = json.loads((tmp_path / "plan.json").read_text())
    tree["published"] = "Zachary 1977, table 1"
    tree["cells"][0]["published"] = {"accuracy": 0.7}
    (tmp_path / "plan.json").write_text(json.dumps(tree))
    assert folder.read_plan() == plan_of(tiny_suite)


def test_an_option_that_came_after_a_record_has_its_default_there(tmp_path: Path):
    plan = plan_of(mnist(tmp_path))
    dataset = Component("mnist", {"validation": 0})
    older = [replace(each, cell=replace(each.cell, dataset=dataset)) for each in plan.cells]
    assert "train_rows" in plan.cells[0].cell.dataset.parameters
    assert len(published_rows(replace(plan, cells=older))) == len(published_rows(plan)) > 0
