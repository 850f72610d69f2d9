"""Bilevel learning on nodes: what is selected, kept and refused."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_bilevel import build, karate
from make_cells import small_cell
from torch import Tensor
from torch.nn import functional

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.methods.base.selection import Selection
from lapbench.methods.bilevel.implicit_gradient import minimize
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import Outcome, try_cell
from lapbench.seeds import Seeds
from lapbench.suite.cells import Evaluation
from lapbench.suite.components import Component
from lapbench.suite.plan import PlannedCell
from lapbench.training.adversarial import AdversarialTraining
from lapbench.training.loop import train
from lapbench.training.samples import hide_outer
from lapbench.training.steps import Recipe

UNROLLED: dict[str, Any] = {"hypergradient": "unrolled", "inner_steps": 5}
VARIANTS: dict[str, dict[str, Any]] = {
    "edges": {"graph": "edges"},
    "g2g": {"graph": "g2g", "regularization": 1.0},
    "unrolled": {"graph": "g2g", **UNROLLED, "inner_steps": 10},
    "network": {"graph": "edges", "inner": "network", **UNROLLED},
}
OTHERS = {"network on g2g": VARIANTS["network"] | {"graph": "g2g"}, "none": {"graph": "observed"}}
PGD = AdversarialTraining(epsilon=1.0, step_size=0.5, steps=3)
each_variant = pytest.mark.parametrize("name", VARIANTS)


def train_on(task: Task, name: str, pgd: AdversarialTraining | None = None) -> Any:
    """A variant after training, finished."""
    model = build(task, **(VARIANTS | OTHERS)[name])
    budget, recipe = Budget(epochs=4, learning_rate=0.3), Recipe(pgd=pgd)
    train(model, task, budget, Seeds("karate", 0), recipe)
    model.finish(task, np.random.default_rng(0))
    return model


@cache
def trained(name: str, attacked: bool = False) -> Any:
    """A variant trained on the karate club; tests leave it as it is."""
    return train_on(karate(), name, PGD if attacked else None)


def accuracy(model: Any, split: Split) -> float:
    known = split.y >= 0
    with torch.no_grad():
        return float((model(split.x)[known].argmax(dim=1) == split.y[known]).double().mean())


def run(train: str = "all", stages: bool = False, **options: Any) -> Outcome:
    """Training on the karate club."""
    cell = replace(
        small_cell("bilevel", **options),
        dataset=Component("karate", {}),
        train=train,
        evaluation=Evaluation(stages=stages),
    )
    planned = PlannedCell(key="0" * 16, gradient="implicit", cell=cell)
    return try_cell(planned, ResultsFolder("unused"))


def assert_same_state(model: Any, expected: dict[str, Tensor]) -> None:
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


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

    def test_keeps_a_copy(self):
        selection, kept = Selection(self.SPLIT), torch.zeros(1)
        selection.observe(torch.eye(2)[[0, 1, 1]], lambda: {"kept": kept})
        kept += 1
        assert selection.state == {"kept": 0}


class TestTrained:
    @each_variant
    def test_is_the_iterate_of_the_highest_validation_accuracy_and_measures_the_last(
        self, name: str
    ):
        task, model = karate(), trained(name)
        assert accuracy(model, task.validation) == model.selection.best
        before = {key: value.clone() for key, value in model.state_dict().items()}
        assert_same_state(model, model.selection.state)
        assert set(before) - set(model.selection.state) <= {"start"}
        last = model.measure(task.test, 1)["last_step_accuracy"]
        assert_same_state(model, before)
        nowhere = Split(task.train.x, torch.full_like(task.train.y, -1))
        assert accuracy(train_on(replace(task, validation=nowhere), name), task.test) == last

    @pytest.mark.parametrize("name", ["g2g", "network on g2g"])
    def test_under_attack_has_the_selected_accuracy_on_the_inputs_themselves(self, name: str):
        model = trained(name, attacked=True)
        assert accuracy(model, karate().validation) == model.selection.best

    @pytest.mark.parametrize("attacked", [False, True])
    @pytest.mark.parametrize("name", ["edges", "g2g"])
    def test_has_scores_that_solve_the_inner_problem_on_the_selected_graph(
        self, name: str, attacked: bool
    ):
        model = trained(name, attacked)
        with torch.no_grad():
            weights = model.edge_weights(model.x).double()
            expected = minimize(model.problem, weights, torch.zeros(34, 2).double())
        torch.testing.assert_close(model.scores, expected.float(), rtol=1e-5, atol=1e-5)

    @each_variant
    def test_is_the_same_whatever_the_labels_of_test_nodes(self, name: str):
        task = karate()
        y = torch.where(task.test.y >= 0, 1 - task.test.y, -1)
        other = train_on(replace(task, test=Split(task.test.x, y)), name)
        assert_same_state(trained(name), other.state_dict())

    @pytest.mark.parametrize("name", [*VARIANTS, "none"])
    def test_predicts_the_same_when_it_is_saved(self, name: str, tmp_path: Path):
        task, model = karate(), trained(name)
        torch.save(model.state_dict(), tmp_path / "model.pt")
        other = build(task, seed=1, **(VARIANTS | OTHERS)[name])
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

    @pytest.mark.parametrize("name", ["edges", "network"])
    def test_learned_graph_has_the_outer_nodes_of_the_task(self, name: str):
        task, model = karate(), build(karate(), **VARIANTS[name])
        assert torch.equal(model.outer, task.outer)
        together = torch.cat((model.inner, model.outer)).sort().values
        assert torch.equal(together, (task.train.y >= 0).nonzero()[:, 0])

    def test_half_of_each_class_where_the_task_names_none(self):
        """Always the same half, as a loaded model must have it."""
        task = replace(karate(), outer=None, outer_labels=None)
        models = [build(task, seed=seed, graph="edges") for seed in range(4)]
        for part in (models[0].inner, models[0].outer):
            assert task.train.y[part].bincount().tolist() == [2, 2]
        assert not torch.isin(models[0].inner, models[0].outer).any()
        assert all(torch.equal(model.outer, models[0].outer) for model in models)

    def test_hidden_outer_nodes_are_refused_with_the_remedy_as_a_failed_record(self):
        with refused(ValueError, "V_out: karate", 'train = "all"'):
            build(hide_outer(karate()), graph="edges")
        record = run("inner", graph="edges").record
        assert record.status == "failed"
        assert str(record.reason).startswith("ValueError: V_out: karate")


class TestRecords:
    def test_two_runs_through_inner_steps_agree_in_everything(self):
        first, second = (run(**VARIANTS["unrolled"]).record for _ in range(2))
        assert first.status == "ok"
        assert first.metrics == second.metrics
        assert first.curves == second.curves

    @pytest.mark.parametrize("name", ["g2g", "unrolled"])
    def test_the_model_that_is_kept_is_the_one_that_was_evaluated_where_stages_are_timed(
        self, name: str
    ):
        plain, timed = (run(stages=stages, **VARIANTS[name]).state for stages in (False, True))
        assert plain is not None
        torch.testing.assert_close(timed, plain)
