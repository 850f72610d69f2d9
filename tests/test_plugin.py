"""A plug-in is worth as much as what comes with lapbench, and imports one module for it."""

import re
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from expect_refusal import refused
from make_cells import small_cell
from make_distribution import make_distribution

import lapbench
from lapbench import plugin
from lapbench.results.folder import ResultsFolder
from lapbench.results.records import Record
from lapbench.suite.components import Component

ATTACKED = """
title = "plug-ins"
seeds = 1
methods = [{ name = "vote", learning_rate = 0.01 }]

[[tasks]]
dataset = "digits"
backbone = "mlp"
mlp.width = 16

[budget]
epochs = 8

[robustness]
epsilon = 0.05
samples = 20

[[robustness.attacks]]
name = "walk"
epsilons = [0.05, 1.0]
steps = [2, 4]

[[robustness.attacks]]
name = "walk"
label = "longer"
epsilons = [0.05]
steps = [8]

[[robustness.attacks]]
name = "walk"
label = "exact"
epsilons = [0.05]
steps = [4]
gradient = "exact"

[[robustness.attacks]]
name = "walk"
label = "averaged"
epsilons = [0.05]
steps = [4]
base_sets = 2

[[robustness.attacks]]
name = "square"
epsilons = [0.05]
queries = 5
"""

NODES = """
title = "edges"
seeds = 1
methods = ["spread", { name = "spread", label = "closed", spread.closed = true }]

[[tasks]]
dataset = "karate"
backbone = "gnn"

[budget]
epochs = 5

[[robustness.attacks]]
name = "random-edges"
kind = "insertion"
shares = [0.5]
draws = 3
"""


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    kinds = {"methods": {"vote": "Vote", "spread": "Spread"}, "attacks": {"walk": "Walk"}}
    with pytest.MonkeyPatch.context() as patch:
        make_distribution(tmp_path_factory.mktemp("site"), patch, "plugin_methods", kinds)
        yield


def records(folder: Path, suite: str) -> list[Record]:
    """What comes of a suite."""
    (folder / "suite.toml").write_text(suite)
    lapbench.run(folder / "suite.toml", results=folder)
    results = ResultsFolder(folder)
    return [results.read_record(planned.key) for planned in results.read_plan().cells]


def test_attack_and_graph_head_of_a_plugin_go_through_all_checks(tmp_path: Path):
    (record,) = records(tmp_path, ATTACKED)
    assert (record.status, {run.status for run in record.attacks}) == ("ok", {"ok"})
    verdicts = {check.name: check.verdict for check in record.flags}
    assert len(verdicts) == 8
    assert set(verdicts.values()) <= {"pass", "fail"}, verdicts
    accuracies = {m.value for m in record.metrics if m.metric == "accuracy"}
    assert min(accuracies) > 0.8


def test_head_of_a_plugin_predicts_on_other_edges_or_says_why_it_refuses_them(tmp_path: Path):
    free, closed = records(tmp_path, NODES)
    values = {m.attack: m.value for m in free.metrics if m.metric == "robust_accuracy"}
    assert values["random-edges"] != values["none"]
    (run,) = closed.attacks
    assert (run.status, run.reason) == ("skipped", "its edges are counted")


def test_edges_are_exchanged_in_a_model_and_in_all_of_it():
    cell = small_cell("spread", closed=False)
    cell = replace(cell, dataset=Component("karate", {}), backbone=Component("gnn", {"width": 4}))
    model: Any = cell.build_model(cell.load_task())
    own, edges = model.edge_index, torch.tensor([[0, 1], [1, 2]])
    with plugin.predicting_on(model, edges):
        assert model.edge_index is model.backbone.edge_index is edges
    assert model.edge_index is own
    assert torch.equal(model.backbone.edge_index, own)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"base_sets": 2}, "no base set"), ({"gradient": "exact"}, "is no surrogate")],
)
def test_attack_that_does_not_apply_is_skipped_also_in_a_plugin(
    options: dict[str, Any], reason: str
):
    walk = Component("walk", {"epsilons": [0.1], "steps": [1], **options}).create("attacks")
    cell = small_cell("softmax")
    target = plugin.Target(cell.build_model(task := cell.load_task()), task, cell.seeds)
    assert reason in walk.skip(target)


def test_model_with_an_undeclared_capability_is_refused(monkeypatch: pytest.MonkeyPatch):
    cell = small_cell("softmax")
    task = cell.load_task()
    monkeypatch.setattr(plugin.LinearModel, "start_epoch", lambda _: None, raising=False)
    with refused(TypeError, "start_epoch()", "HoldsOut"):
        cell.build_model(task)


def test_tutorial_of_the_door_is_a_method_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its code block is the module, its table the entry points."""
    code, table = (
        textwrap.dedent(block)
        for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", str(plugin.__doc__))
    )
    site = tmp_path / "site"
    site.mkdir()
    (site / "my_package.py").write_text(code)
    (names,) = tomllib.loads(table)["project"]["entry-points"].values()
    attributes = {name: target.partition(":")[2] for name, target in names.items()}
    make_distribution(site, monkeypatch, "my_package", {"methods": attributes})
    suite = NODES.partition("[[robustness")[0].replace("karate", "two_moons").replace("gnn", "mlp")
    (record,) = records(tmp_path, re.sub("methods = .*", 'methods = ["scaled"]', suite))
    assert record.status == "ok"
    assert record.cell.method.head.parameters == {"factor": 2.0}


def test_door_exports_all_that_its_tutorial_names():
    names = re.findall(r":(?:class|func):`(\w+)`", str(plugin.__doc__))
    assert len(names) > 15
    assert not [name for name in names if not hasattr(plugin, name)]
