"""Bilevel learning on vectors, whose graph joins V_tr and the batch; attacks on inputs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_bilevel import build, dense_gradient, karate
from make_cells import small_cell, small_task
from oracle_graph import dense_root, finite_differences, relative_error
from torch.nn import functional

from lapbench.datasets.base.task import Split, Task
from lapbench.methods.bilevel.laplacian_problem import LaplacianProblem
from lapbench.methods.graph import knn_graph
from lapbench.methods.graph.sparse import EdgePattern
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import try_cell
from lapbench.suite.plan import PlannedCell
from lapbench.training.adversarial import AdversarialTraining, perturb


def double(task: Task) -> Task:
    splits = {name: getattr(task, name) for name in ("train", "validation", "test")}
    return replace(task, **{name: Split(s.x.double(), s.y) for name, s in splits.items()})


class TestSamples:
    """Two moons: V_tr is half of the training samples, the batch joins it in a graph."""

    def model(self, **options: Any) -> Any:
        task = double(small_task())
        model = build(task, "mlp", k=6, **options).double()
        held_out = model.start_epoch(task, np.random.default_rng(0))
        assert torch.equal(held_out, model.start_epoch(task, np.random.default_rng(1)))
        assert task.train.y[held_out].bincount().tolist() == [25, 25]
        return model.eval()

    X = small_task().test.x[:7].double()

    @pytest.mark.parametrize("given", [{}, {"strength": 5.0, "ridge": 1e-2}])
    def test_prediction_equals_a_dense_solution(self, given: dict[str, Any]):
        names = {"strength": "laplacian_strength"}
        model = self.model(**{names.get(name, name): value for name, value in given.items()})
        inner = model.inner
        with torch.no_grad():
            nodes = torch.cat((model.backbone(inner.x), model.backbone(self.X)))
            edges = knn_graph(nodes, 6).pattern.edge_index
            pattern = EdgePattern(edges, len(nodes))
            problem = LaplacianProblem(pattern, torch.arange(50), inner.y, 2, **given)
            gradient = dense_gradient(problem, model.graph(nodes, edges))
            predicted = model(self.X)
        expected = dense_root(gradient, nodes.new_zeros(57, 2))[50:].log_softmax(dim=1)
        torch.testing.assert_close(predicted, expected)

    @pytest.mark.parametrize(
        "options",
        [{}, {"hypergradient": "unrolled", "inner_steps": 5}],
        ids=["implicit", "unrolled"],
    )
    def test_gradient_in_the_inputs_equals_finite_differences(self, options: dict[str, Any]):
        model, y = self.model(**options), torch.arange(7) % 2
        leaf = self.X.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(functional.nll_loss(model(leaf), y), leaf)
        expected = finite_differences(
            lambda x: functional.nll_loss(model(x).detach(), y), self.X, h=1e-5
        )
        assert relative_error(gradient, expected) < 1e-5

    def test_an_attack_raises_the_loss_within_its_ball(self):
        model, y = self.model(), small_task().test.y[:7]
        pgd = AdversarialTraining(epsilon=1e-3, step_size=5e-4, steps=8)
        attacked = perturb(model, self.X, y, pgd, None)
        assert float((attacked - self.X).abs().max()) <= 1e-3 + 1e-12
        assert model.loss(attacked, y).item() > model.loss(self.X, y).item()


def test_an_attack_on_a_graph_that_inputs_do_not_make_is_its_random_start():
    task = karate()
    model, x = build(task, graph="edges"), task.train.x
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pgd = AdversarialTraining(epsilon=0.1, step_size=0.1)
        attacked = perturb(model, x, task.train.y, pgd, None)
        torch.manual_seed(0)
        start = x + 0.1 * (2 * torch.rand_like(x) - 1)
    assert torch.equal(attacked, start.clamp(x - 0.1, x + 0.1))


def test_a_graph_without_weights_to_learn_is_skipped():
    """Nearest neighbours with weights of 1 depend on the backbone in no differentiable way."""
    cell = small_cell("bilevel", graph="observed")
    record = try_cell(PlannedCell("0" * 16, "autograd", cell), ResultsFolder("unused")).record
    assert record.status == "skipped"
    assert record.reason is not None
    assert record.reason.startswith('bilevel: graph = "observed"')
    assert "two_moons" in record.reason


@pytest.mark.parametrize("count", [100_000, 50])
def test_as_many_inner_samples_as_a_class_has_are_refused(count: int):
    with refused(ValueError, f"inner_per_class: received {count}"):
        small_cell("bilevel", inner_per_class=count).build_model(small_task())


def test_a_class_with_one_labelled_sample_is_refused():
    cell = replace(small_cell("bilevel"), labeled=2)
    with refused(ValueError, "inner_per_class: received 'half'"):
        cell.build_model(cell.load_task())
