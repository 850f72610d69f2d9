"""Every attack says beforehand how often it predicts, and how many gradients it takes."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from attack_table import ATTACKS, CASES, TESTED_ELSEWHERE
from table import create, small_cell

from lapbench.attacks._target import Target
from lapbench.cells import Cell, Component
from lapbench.discovery import names
from lapbench.methods._protocol import Model

PERTURBATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "pgd, base sets": ("pgd", {"epsilons": [0.1, 0.3], "steps": [2, 3], "base_sets": 3}),
    "fgsm-snr": ("fgsm-snr", {"snrs": [10.0, 20.0]}),
    "gaussian-noise": ("gaussian-noise", {"snrs": [10.0, 20.0], "draws": 3}),
    "neuron-dropout": ("neuron-dropout", {"draws": 2}),
    "random-edges": ("random-edges", {"kind": "deletion", "draws": 2}),
    "verification": ("verification", {"epsilons": [1e-4, 2e-4], "steps": 3, "restarts": 2}),
    "weight-quantization": ("weight-quantization", {"bits": [4, 6]}),
}
STOPS_EARLY = {"square", "deepfool"}


def attacked_cell(case: str) -> Cell:
    """A cell whose model the attack of a case applies to."""
    cell = small_cell("gll", k=8) if case == "pgd, base sets" else small_cell("softmax")
    data = "karate" if case == "random-edges" else "digits"
    backbone = {"random-edges": "gnn", "verification": "strided_cnn"}.get(case, "small_cnn")
    options = {} if case == "verification" else {"width": 4}
    return replace(cell, dataset=Component(data, {}), backbone=Component(backbone, options))


def finished(cell: Cell) -> Model:
    """The model of a cell, without a step of training."""
    task = cell.load_task()
    model = cell.build_model(task)
    model.finish(task, cell.seeds.stream("finish"))
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
