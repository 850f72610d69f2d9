"""The first step of training: what a record keeps of it, and on which processors it is the same."""

import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from make_cells import METHODS, small_cell
from make_runs import COMMAND
from make_suites import suite

import lapbench
from lapbench.methods.base.budget import Budget
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import try_cell
from lapbench.suite.cells import Cell
from lapbench.suite.plan import PlannedCell

OTHER_INSTRUCTIONS = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
"""What torch uses on an older processor."""
SAME = ["first_step_loss", "first_step_length", "gradient_error", "saved_megabytes"]
CELL = replace(small_cell("softmax"), budget=Budget(epochs=1, batch_size=1000, optimizer="sgd"))


def run(cell: Cell, folder: Path) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Numbers and weights of a cell."""
    outcome = try_cell(PlannedCell("0123456789abcdef", "autograd", cell), ResultsFolder(folder))
    assert outcome.state is not None
    return {each.metric: each.value for each in outcome.record.metrics}, outcome.state


def test_one_step_has_the_loss_of_the_untrained_model_and_moves_the_weights_by_its_length(
    tmp_path: Path,
):
    """Of a training that has no other."""
    task = CELL.load_task()
    model = CELL.build_model(task).train()
    numbers, end = run(CELL, tmp_path)
    loss = model.loss(task.train.x, task.train.y).item()
    assert numbers["first_step_loss"] == pytest.approx(loss, rel=1e-5)
    moves = [(end[name] - start.detach()).flatten() for name, start in model.named_parameters()]
    length = float(torch.cat(moves).norm())
    assert length > 0
    assert numbers["first_step_length"] == pytest.approx(length, rel=1e-5)

    faster = replace(CELL.budget, learning_rate=10 * CELL.budget.learning_rate)
    fast = run(replace(CELL, budget=faster), tmp_path)[0]
    assert fast["first_step_length"] == pytest.approx(10 * length, rel=1e-4)
    assert fast["first_step_loss"] == numbers["first_step_loss"]


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="one set of instructions only"
)
def test_other_instructions_give_the_same_before_the_second_step(tmp_path: Path):
    path = suite(tmp_path, METHODS, after="[evaluation]\ngradient_error = true\n")
    lapbench.run(path, results=tmp_path / "usual")
    command = [*COMMAND, "run", str(path), "--results", str(tmp_path / "other")]
    subprocess.run(command, env=os.environ | OTHER_INSTRUCTIONS, capture_output=True, check=True)
    lines = lapbench.compare(tmp_path / "usual", tmp_path / "other").lines
    early = lines[lines["metric"].isin(SAME)]
    assert set(early["metric"]) == set(SAME)
    assert set(early["verdict"]) == {"same"}, early[early["verdict"] != "same"].to_string()
