"""The training gradient of every method, beside finite differences."""

from dataclasses import replace

import pytest
import torch
from make_cells import METHODS, small_cell

from lapbench.measure.gradient_error import gradient_error
from lapbench.methods.graph import solve_with_adjoint as elliptic
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component

GRAPH = {"dataset": Component("karate", {}), "backbone": Component("gnn", {"layers": 2})}
EXACT = [name for name in METHODS if name != "wnll"]


def error(cell: Cell) -> float:
    result = gradient_error(cell, cell.load_task())
    assert result is not None
    return result


@pytest.mark.parametrize("name", EXACT)
def test_exact_gradients_agree_with_finite_differences(name: str):
    assert error(small_cell(name)) < 1e-5


@pytest.mark.parametrize("name", ["softmax", "gll"])
def test_on_nodes_too(name: str):
    assert error(replace(small_cell(name), **GRAPH)) < 1e-5


def test_surrogate_gradient_does_not_agree_and_its_exact_variant_does():
    assert error(small_cell("wnll")) > 0.1
    assert error(small_cell("wnll", gradient="exact")) < 1e-5


def test_wrong_sign_of_the_adjoint_is_found(monkeypatch: pytest.MonkeyPatch):
    right = elliptic._ImplicitSolution.backward

    def wrong(ctx: object, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return -right(ctx, gradient)[0], None, None

    monkeypatch.setattr(elliptic._ImplicitSolution, "backward", staticmethod(wrong))
    assert error(small_cell("gll")) > 0.1


def test_error_is_the_same_again_and_leaves_the_task_alone():
    cell = small_cell("sparse_manifold")
    task = cell.load_task()
    before = task.train.x.clone()
    assert gradient_error(cell, task) == gradient_error(cell, task)
    assert task.train.x.equal(before)


def test_nothing_trained_has_no_error():
    cell = replace(small_cell("gll"), backbone=Component("identity", {}))
    assert gradient_error(cell, cell.load_task()) is None
