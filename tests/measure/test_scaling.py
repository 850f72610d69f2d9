"""Stages are timed where a suite asks for it, stored, and drawn with the power of their growth."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from make_cells import small_cell, small_task
from torch import Tensor, nn

import lapbench
from lapbench.datasets.base.task import Split, Task
from lapbench.discovery import load
from lapbench.measure.timing import time_stages
from lapbench.methods.base.capabilities import HasNumbers
from lapbench.methods.base.model import Model
from lapbench.methods.base.stages import StagedPass
from lapbench.methods.gll import GLL, value_loss
from lapbench.reports.figures.scaling import power, seconds
from lapbench.reports.results import Results
from lapbench.results.folder import ResultsFolder

STAGES = ["neighbours", "graph", "solve", "adjoint", "features gradient"]

SUITE = """
title = "small"
seeds = 1
methods = ["gll"]

[[tasks]]
dataset = "latent_classes"
backbone = "identity"
latent_classes.samples = 200

[[tasks]]
dataset = "latent_classes"
backbone = "identity"
latent_classes.samples = 400

[budget]
epochs = 0

[evaluation]
stages = true
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a suite that trains nothing and times stages at two sizes."""
    folder = tmp_path_factory.mktemp("scaling")
    (folder / "small.toml").write_text(SUITE)
    lapbench.run(folder / "small.toml", results=folder / "results")
    return folder / "results"


def test_stages_are_stored_and_steps_are_not(results: Path):
    folder = ResultsFolder(results)
    for key in folder.list_keys():
        timing = folder.read_record(key).timing
        assert timing is not None
        assert all(len(times) == 3 and min(times) > 0 for times in timing.stages.values())
        assert timing.step_seconds == timing.softmax_step_seconds == []
    frame = lapbench.load_records(results)
    stages = frame[frame["metric"].str.startswith("stage: ")]
    assert stages["metric"].str.removeprefix("stage: ").tolist() == STAGES * 2
    assert stages["count"].tolist() == [200] * 5 + [400] * 5
    assert not frame["metric"].str.startswith("step").any()
    markdown = (results / "leaderboard.md").read_text()
    table = markdown.partition("## Comparisons")[0]
    rows = [line for line in table.splitlines() if "latent_classes" in line]
    assert len(rows) == 2
    assert all("| – " in row for row in rows)
    assert "stage" not in markdown


@pytest.mark.usefixtures("figures")
def test_figure_shows_every_stage_with_its_power(results: Path):
    lapbench.write_report(results)
    assert (results / "figures" / "scaling.svg").is_file()
    frame = lapbench.load_records(results)
    figure = load("figures", "scaling").draw(Results(frame, lambda _: {}, lambda _: {}))
    (ax,) = figure.axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {label.split(",")[0] for label in labels} == {*STAGES, "total"}
    assert all(", $n^{" in label for label in labels)
    ends = [line.get_ydata()[-1] for line in ax.lines]
    assert ends == sorted(ends, reverse=True)
    without = frame[frame["metric"] == "accuracy"]
    assert load("figures", "scaling").draw(Results(without, lambda _: {}, lambda _: {})) is None


def test_power_is_that_of_the_larger_half():
    """Constant below 1,000 samples, quadratic from there on."""
    sizes = np.array([100, 200, 500, 1000, 2000, 5000])
    times = pd.Series(np.maximum(sizes, 1000.0) ** 2, index=sizes)
    assert power(times) == pytest.approx(2)
    assert power(times.iloc[-2:]) == pytest.approx(2)
    assert np.isnan(power(times.iloc[-1:]))


def test_total_is_the_sum_and_times_below_the_clock_are_missing():
    rows = pd.DataFrame(
        {
            "metric": ["stage: a", "stage: b"] * 2,
            "count": [10, 10, 20, 20],
            "value": [0.0, 1.0, 2.0, 3.0],
        }
    )
    table = seconds(rows)
    assert table["total"].tolist() == [1, 5]
    assert table["a"].isna().tolist() == [True, False]


class Counting(Model, HasNumbers):
    """Has one stage, and counts how often it runs."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.runs = 0

    def outputs(self, features: Tensor) -> Tensor:
        return features

    def forward(self, x: Tensor) -> Tensor:
        return x

    def loss(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        return x.sum()

    def stages(self, task: Task) -> dict[str, Callable[[], None]]:  # noqa: ARG002
        return {"only": self.run}

    def run(self) -> None:
        self.runs += 1


@pytest.mark.parametrize(
    ("samples", "runs", "kept"), [(4999, 4, 3), (5000, 3, 3), (15_000, 3, 3), (15_001, 1, 1)]
)
def test_large_tasks_are_timed_less_often(samples: int, runs: int, kept: int):
    split = Split(torch.zeros(samples, 1), torch.zeros(samples, dtype=torch.int64))
    model = Counting()
    result = time_stages(model, Task("zeros", split, split, split, num_classes=1), "cpu", int)
    assert (model.runs, len(result.seconds["only"])) == (runs, kept)


def test_method_without_stages_has_no_times():
    cell = small_cell("softmax")
    task = cell.load_task()
    result = time_stages(cell.build_model(task), task, "cpu", int)
    assert result.seconds == {}
    assert result.reference == []


def test_stages_of_gll_make_one_pass_of_its_layer():
    """The gradient that they end with is that of the layer and its loss, in one piece."""
    task = small_task()
    model = GLL(tau=0.1).build(load("backbones", "identity")().build(task), task)
    stages = model.stages(task)
    for stage in stages.values():
        stage()
    staged = stages["solve"].__self__.features  # type: ignore[attr-defined]
    features = task.train.x.clone().requires_grad_()
    labeled = 50  # Half of the training samples, as a hundred are all of them.
    labels = torch.eye(2)[task.train.y[:labeled]]
    value_loss(model.layer(features, labels), task.train.y[labeled:]).backward()
    assert torch.equal(staged, features)
    torch.testing.assert_close(staged.grad, features.grad, rtol=1e-4, atol=1e-7)
    assert features.grad is not None
    assert features.grad.abs().max() > 0


def test_stages_label_a_tenth_and_a_hundred_up_to_1100_rows():
    for rows, labeled in ((100, 50), (500, 100), (1100, 100), (1101, 110), (2000, 200)):
        staged = StagedPass(torch.zeros(rows, 1), torch.zeros(rows, dtype=torch.int64), 1)
        assert len(staged.labeled) == len(staged.labels) == labeled
        assert int((staged.unlabeled_y >= 0).sum()) == rows - labeled
