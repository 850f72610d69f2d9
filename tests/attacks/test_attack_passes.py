"""Every attack says beforehand how often it predicts, and how many gradients it takes."""

import pytest
import torch
from attack_table import ATTACKS, CASES, PERTURBATIONS, TESTED_ELSEWHERE, attacked_cell
from table import create

from lapbench.attacks.base.target import Target
from lapbench.discovery import names
from lapbench.methods.base.capabilities import finish
from lapbench.methods.base.model import Model
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component

STOPS_EARLY = {"square", "deepfool"}


def finished(cell: Cell) -> Model:
    """The model of a cell, without a step of training."""
    task = cell.load_task()
    model = cell.build_model(task)
    finish(model, task, cell.seeds.stream("finish"))
    return model.eval()


@pytest.mark.parametrize("case", CASES | PERTURBATIONS)
def test_attack_takes_the_passes_that_it_says(case: str):
    name, options = (CASES | PERTURBATIONS)[case]
    attack = Component(name, options).create("attacks")
    cell = attacked_cell(case)
    model, task = finished(cell), cell.load_task()
    target = Target(model, task, cell.seeds, sources=lambda _: finished(cell))
    x = task.test.x if task.nodes_only else task.test.x[:12]
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    torch.manual_seed(0)
    found = list(attack.perturb(target, x, y))
    said = attack.passes(task.num_classes)
    taken, passes = target.spent(), (said.predictions, said.gradients + said.backward)
    assert said.candidates == len(found)
    if name in STOPS_EARLY:
        assert 0 < taken[0] <= passes[0]
        assert taken[1] <= passes[1]
    else:
        assert taken == passes


def test_every_attack_is_in_the_table():
    assert {*ATTACKS, *TESTED_ELSEWHERE} == set(names("attacks"))
    assert {name for name, _ in (CASES | PERTURBATIONS).values()} == set(names("attacks"))


def test_time_limits_of_proofs_count_for_each_image_and_radius():
    attack = create("attacks", "verification", epsilons=[0.1, 0.2], time_limit=3.0)
    assert attack.passes(10).seconds == 6
