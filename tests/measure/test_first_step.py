"""The first step of training: what a record keeps of it, and on which processors it is the same."""

import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from composed import suite
from running import COMMAND
from table import METHODS, small_cell

import lapbench
from lapbench.methods.base.budget import Budget
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import try_cell
from lapbench.suite.cells import Cell
from lapbench.suite.plan import PlannedCell

OTHER_INSTRUCTIONS = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
"""What torch uses on an older processor."""
SAME = ["first_step_loss", "first_step_length", "gradient_error", "step_megabytes"]
CELL = replace(small_cell("softmax"), budget=Budget(epochs=1, batch_size=1000, optimizer="sgd"))


def run(cell: Cell, folder: Path) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Numbers and weights of a cell."""
    outcome = try_cell(PlannedCell("0123456789abcdef", "autograd", cell), ResultsFolder(folder))
    assert outcome.state is not None
    return {each.metric: each.value for each in outcome.record.metrics}, outcome.state


class TestOneStep:
    """Of a training that has no other."""

    def test_loss_is_that_of_the_untrained_model(self, tmp_path: Path):
        task = CELL.load_task()
        model = CELL.build_model(task).train()
        expected = model.loss(task.train.x, task.train.y).item()
        assert run(CELL, tmp_path)[0]["first_step_loss"] == pytest.approx(expected, rel=1e-5)

    def test_length_is_the_distance_of_the_weights_from_their_start(self, tmp_path: Path):
        start = dict(CELL.build_model(CELL.load_task()).named_parameters())
        numbers, end = run(CELL, tmp_path)
        moved = torch.cat([(end[name] - start[name].detach()).flatten() for name in start])
        assert moved.norm() > 0
        assert numbers["first_step_length"] == pytest.approx(float(moved.norm()), rel=1e-5)

    def test_length_grows_with_the_learning_rate_and_the_loss_does_not(self, tmp_path: Path):
        faster = replace(CELL.budget, learning_rate=10 * CELL.budget.learning_rate)
        slow = run(CELL, tmp_path)[0]
        fast = run(replace(CELL, budget=faster), tmp_path)[0]
        assert fast["first_step_length"] == pytest.approx(10 * slow["first_step_length"], rel=1e-4)
        assert fast["first_step_loss"] == slow["first_step_loss"]


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="one set of instructions only"
)
def test_other_instructions_give_the_same_before_the_second_step(tmp_path: Path):
    path = suite(tmp_path, METHODS, after="[evaluation]\ngradient_error = true\n")
    for name, environment in (("usual", {}), ("other", OTHER_INSTRUCTIONS)):
        arguments = ["run", path, "--results", tmp_path / name]
        subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env={**os.environ, **environment},
            capture_output=True,
            check=True,
        )
    lines = lapbench.compare(tmp_path / "usual", tmp_path / "other").lines
    early = lines[lines["metric"].isin(SAME)]
    assert set(early["metric"]) == set(SAME)
    assert set(early["verdict"]) == {"same"}, early[early["verdict"] != "same"].to_string()
