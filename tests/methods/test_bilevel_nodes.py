"""Bilevel learning on nodes: what is selected, kept and refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_bilevel import build, karate
from make_cells import small_cell
from torch.nn import functional

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.selection import Selection
from lapbench.methods.bilevel.implicit_gradient import minimize
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import Outcome, try_cell
from lapbench.seeds import Seeds
from lapbench.suite.cells import Cell, Evaluation
from lapbench.suite.components import Component
from lapbench.suite.plan import PlannedCell
from lapbench.training.adversarial import AdversarialTraining
from lapbench.training.loop import train
from lapbench.training.samples import hide_outer
from lapbench.training.steps import Recipe

NETWORK: dict[str, Any] = {
    "inner": "network",
    "graph": "edges",
    "hypergradient": "unrolled",
    "inner_steps": 5,
}
EDGES_OF_CLUB: dict[str, Any] = {"graph": "edges"}
STEPWISE: dict[str, Any] = {"graph": "g2g", "hypergradient": "unrolled", "inner_steps": 10}
VARIANTS = [EDGES_OF_CLUB, {"graph": "g2g", "regularization": 1.0}, STEPWISE, NETWORK]
NAMES = ["edges", "g2g", "unrolled", "network"]


def trained(task: Task, pgd: AdversarialTraining | None = None, **options: Any) -> Any:
    """A model after training, finished."""
    model = build(task, **options)
    budget, recipe = Budget(epochs=4, learning_rate=0.3), Recipe(pgd=pgd)
    train(model, task, budget, Seeds("karate", 0), recipe)
    model.finish(task, np.random.default_rng(0))
    return model


def accuracy(model: Any, split: Split) -> float:
    known = split.y >= 0
    with torch.no_grad():
        return float((model(split.x)[known].argmax(dim=1) == split.y[known]).double().mean())


def cell(**options: Any) -> Cell:
    """Training on the karate club."""
    return replace(small_cell("bilevel", **options), dataset=Component("karate", {}))


def run(described: Cell) -> Outcome:
    planned = PlannedCell(key="0" * 16, gradient="implicit", cell=described)
    return try_cell(planned, ResultsFolder("unused"))


class TestSelection:
    SPLIT = Split(torch.zeros(4, 1), torch.tensor([0, -1, 1, 1]))

    def observe(self, selection: Selection, *predicted: int, name: float) -> None:
        scores = functional.one_hot(torch.tensor(predicted), 2).float()
        selection.observe(scores, lambda: {"name": torch.tensor(name)})

    def test_keeps_the_first_of_the_best(self):
        selection = Selection(self.SPLIT)
        assert selection.rows.tolist() == [0, 2, 3]
        for name, predicted in enumerate([(1, 1, 0), (0, 0, 1), (1, 1, 1), (1, 0, 0)]):
            self.observe(selection, *predicted, name=name)
        assert selection.best == pytest.approx(2 / 3)
        assert selection.state == {"name": 1}

    def test_keeps_nothing_without_validation_nodes(self):
        selection = Selection(Split(torch.zeros(2, 1), torch.tensor([-1, -1])))
        selection.observe(torch.empty(0, 2), lambda: {"name": torch.ones(())})
        assert selection.state is None

    def test_keeps_a_copy(self):
        selection, kept = Selection(self.SPLIT), torch.zeros(1)
        selection.observe(torch.eye(2)[[0, 1, 1]], lambda: {"kept": kept})
        kept += 1
        assert selection.state == {"kept": 0}

    @pytest.mark.parametrize("options", VARIANTS, ids=NAMES)
    def test_finish_restores_the_selected_iterate_and_measure_reports_the_last(
        self, options: dict[str, Any]
    ):
        task = karate()
        model = trained(task, **options)
        assert accuracy(model, task.validation) == model.selection.best
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert all(torch.equal(before[name], kept) for name, kept in model.selection.state.items())
        assert set(before) - set(model.selection.state) <= {"start"}
        found = model.measure(task.test, 1)["last_step_accuracy"]
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
        unselected = replace(
            task, validation=Split(task.train.x, torch.full_like(task.train.y, -1))
        )
        assert accuracy(trained(unselected, **options), task.test) == found

    @pytest.mark.parametrize(
        "options", [VARIANTS[1], NETWORK | {"graph": "g2g"}], ids=["laplacian", "network"]
    )
    def test_under_attack_the_selected_accuracy_is_that_on_the_inputs_themselves(
        self, options: dict[str, Any]
    ):
        task = karate()
        model = trained(task, AdversarialTraining(epsilon=1.0, step_size=0.5, steps=3), **options)
        assert accuracy(model, task.validation) == model.selection.best

    @pytest.mark.parametrize(
        "pgd", [None, AdversarialTraining(epsilon=1.0, step_size=0.5, steps=3)]
    )
    @pytest.mark.parametrize("options", VARIANTS[:2], ids=NAMES[:2])
    def test_the_selected_scores_solve_the_inner_problem_on_the_selected_graph(
        self, options: dict[str, Any], pgd: AdversarialTraining | None
    ):
        model = trained(karate(), pgd, **options)
        with torch.no_grad():
            weights = model.edge_weights(model.x).double()
            expected = minimize(model.problem, weights, torch.zeros(34, 2).double())
        torch.testing.assert_close(model.scores, expected.float(), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("options", VARIANTS, ids=NAMES)
    def test_labels_of_test_nodes_change_nothing(self, options: dict[str, Any]):
        task = karate()
        y = torch.where(task.test.y >= 0, 1 - task.test.y, -1)
        other = trained(replace(task, test=Split(task.test.x, y)), **options).state_dict()
        for name, value in trained(task, **options).state_dict().items():
            assert torch.equal(value, other[name]), name

    @pytest.mark.parametrize("options", [*VARIANTS, {"graph": "observed"}], ids=[*NAMES, "none"])
    def test_a_saved_model_predicts_the_same(self, options: dict[str, Any], tmp_path: Path):
        task = karate()
        model = trained(task, **options)
        torch.save(model.state_dict(), tmp_path / "model.pt")
        other = build(task, seed=1, **options)
        other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
        with torch.no_grad():
            assert torch.equal(other(task.test.x), model(task.test.x))


class TestParts:
    """V_tr and V_out."""

    def test_observed_graph_is_fitted_to_all_training_nodes_and_not_trained(self):
        task = karate()
        model = build(task, graph="observed")
        assert torch.equal(model.inner, (task.train.y >= 0).nonzero()[:, 0])
        assert len(model.outer) == 0
        assert model.phases(Budget(epochs=3)) == []
        assert list(model.parameters()) == []
        assert bool((model.edge_weights(model.x) == 1).all())

    @pytest.mark.parametrize("options", [EDGES_OF_CLUB, NETWORK], ids=["laplacian", "network"])
    def test_learned_graph_has_the_outer_nodes_of_the_task(self, options: dict[str, Any]):
        task = karate()
        assert task.outer is not None
        model = build(task, **options)
        assert torch.equal(model.outer, task.outer)
        together = torch.cat((model.inner, model.outer)).sort().values
        assert torch.equal(together, (task.train.y >= 0).nonzero()[:, 0])

    def test_half_of_each_class_where_the_task_names_none(self):
        task = replace(karate(), outer=None, outer_labels=None)
        model = build(task, **EDGES_OF_CLUB)
        for part in (model.inner, model.outer):
            assert task.train.y[part].bincount().tolist() == [2, 2]
        assert not torch.isin(model.inner, model.outer).any()
        drawn = {tuple(build(task, seed=seed, **EDGES_OF_CLUB).outer.tolist()) for seed in range(4)}
        assert len(drawn) == 1, "a loaded model must have the same"

    def test_hidden_outer_nodes_are_refused_with_the_remedy(self):
        with refused(ValueError, "V_out: karate", 'train = "all"'):
            build(hide_outer(karate()), **EDGES_OF_CLUB)

    def test_the_refusal_is_a_failed_record(self):
        record = run(replace(cell(graph="edges"), train="inner")).record
        assert record.status == "failed"
        assert str(record.reason).startswith("ValueError: V_out: karate ")


class TestRecords:
    @pytest.mark.parametrize("options", [EDGES_OF_CLUB, STEPWISE], ids=["edges", "unrolled"])
    def test_two_runs_agree_in_everything(self, options: dict[str, Any]):
        first, second = (run(cell(**options)).record for _ in range(2))
        assert first.status == "ok"
        assert first.metrics == second.metrics
        assert first.curves == second.curves

    @pytest.mark.parametrize("options", VARIANTS[1:3], ids=NAMES[1:3])
    def test_the_model_that_is_kept_is_the_one_that_was_evaluated_where_stages_are_timed(
        self, options: dict[str, Any]
    ):
        plain, timed = (
            run(replace(cell(**options), evaluation=Evaluation(stages=stages))).state
            for stages in (False, True)
        )
        assert plain is not None
        assert timed is not None
        for name, value in plain.items():
            torch.testing.assert_close(timed[name], value)
