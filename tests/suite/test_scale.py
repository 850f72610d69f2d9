"""Suites at a scale: what shrinks, what stays, and that it is said everywhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from expect_refusal import refused
from make_cells import load_task
from make_suites import KARATE, names, on_karate, planned, suite

from lapbench.cli.main import main
from lapbench.datasets.base.task import Split
from lapbench.results.collect import load_records
from lapbench.results.folder import ResultsFolder
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.suite import SuiteError, load_suite
from lapbench.training.samples import shrink

ATTACKED = """
[robustness]
epsilon = 0.1
samples = 40
[[robustness.attacks]]
name = "fgsm"
epsilons = [0.1]
"""
GLL = '["softmax", { name = "gll", gll.evaluation_base_per_class = 20 }]'


def rows(split: Split) -> set[bytes]:
    return {x.numpy().tobytes() for x in split.x}


class TestShrink:
    def test_keeps_a_share_of_every_class_and_all_of_the_test_set(self):
        task = load_task("digits")
        small = shrink(task, 0.25, np.random.default_rng(0))
        for name in ("train", "validation"):
            before, after = getattr(task, name), getattr(small, name)
            assert rows(after) < rows(before)
            wanted = before.y.bincount() * 0.25
            assert (after.y.bincount() - wanted).abs().max() <= 0.5
        assert small.test is task.test

    def test_keeps_25_training_samples_of_a_class_at_least(self):
        small = shrink(load_task("digits"), 1e-6, np.random.default_rng(0))
        assert small.train.y.bincount().tolist() == [25] * 10
        assert small.validation.y.bincount().tolist() == [1] * 10

    def test_keeps_no_more_than_there_are(self):
        task = load_task("digits")
        rare = torch.cat([task.train.y[task.train.y > 0], torch.zeros(1, dtype=torch.int64)])
        x = task.train.x[: len(rare)]
        small = shrink(replace(task, train=Split(x, rare)), 0.01, np.random.default_rng(0))
        assert small.train.y.bincount().tolist() == [1] + [25] * 9

    def test_leaves_a_graph_of_nodes_whole(self):
        task = load_task("karate")
        assert shrink(task, 0.1, np.random.default_rng(0)) is task


def test_a_scale_takes_its_share_of_everything_but_the_test_set(tmp_path: Path):
    path = suite(tmp_path, GLL, task="labeled = 40\n", after=ATTACKED)
    whole = load_suite(path).with_seeds(10)
    (cell, *_), *_, (gll, *_) = whole.scaled(0.5).cells("cpu")
    before = whole.cells("cpu")[0][0]
    assert whole.scaled(0.5).seeds == 5
    assert (before.budget.epochs, cell.budget.epochs) == (4, 4)
    assert cell.robustness is not None
    assert cell.robustness.samples == 20
    assert gll.method.head.parameters["evaluation_base_per_class"] == 10
    known = [int((each.load_task().train.y >= 0).sum()) for each in (before, cell)]
    assert known == [40, 40]
    assert len(cell.load_task().train) == len(before.load_task().train) // 2
    assert len(cell.load_task().test) == len(before.load_task().test)


def test_a_graph_of_nodes_keeps_its_labels_at_a_scale(tmp_path: Path):
    path = on_karate(tmp_path, '["softmax"]')
    (cell, *_), *_ = load_suite(path).scaled(0.5).cells("cpu")
    (whole, *_), *_ = load_suite(path).cells("cpu")
    assert torch.equal(cell.load_task().train.y, whole.load_task().train.y)
    assert KARATE in path.read_text()


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5])
def test_other_scales_are_refused(tmp_path: Path, scale: float):
    with refused(SuiteError, "scale: received"):
        load_suite(suite(tmp_path, ["softmax"])).scaled(scale)


def test_the_scale_of_the_command_is_in_the_record_and_in_every_table(tmp_path: Path):
    results = tmp_path / "results"
    arguments = ["run", str(suite(tmp_path, ["softmax", "gll"])), "--results", str(results)]
    ran = CliRunner().invoke(main, [*arguments, "--scale", "0.5"])
    assert ran.exit_code == 0, ran.output
    folder = ResultsFolder(results)
    assert {folder.read_record(key).cell.scale for key in folder.list_keys()} == {0.5}
    assert set(load_records(results)["task"]) == {"two_moons at scale 0.5"}
    for table in ("leaderboard.md", "leaderboard.csv", "leaderboard.tex", "comparisons.csv"):
        assert "two_moons at scale 0.5" in (results / table).read_text().replace("\\", ""), table
    assert "two_moons at scale 0.5" in ran.output
    assert "\nScale: 0.5 of the suite's epochs" in ran.output
    assert CliRunner().invoke(main, [*arguments, "--scale", "0"]).exit_code == 2


def test_results_at_a_scale_have_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    path = suite(tmp_path, ["softmax"])
    assert prepare(path, RunOptions()).folder.path == Path("results/suite")
    assert prepare(path, RunOptions(scale=0.25)).folder.path == Path("results/suite-scale-0.25")


def test_a_label_names_a_task_in_tables(tmp_path: Path):
    path = suite(tmp_path, ["softmax"], task='label = "CIFAR-10 (JPEG)"\n')
    assert names(path) == {("CIFAR-10 (JPEG)", "softmax")}
    assert {each.task for each in planned(path)} == {"CIFAR-10 (JPEG)"}


def test_batches_and_rates_stay_where_the_graph_is_whole(tmp_path: Path):
    path = on_karate(tmp_path, '["softmax", { name = "gll", gll.evaluation_base_per_class = 20 }]')
    whole = load_suite(path).cells("cpu")
    for (cell, *_), (before, *_) in zip(
        load_suite(path).scaled(0.5).cells("cpu"), whole, strict=True
    ):
        assert cell.budget == before.budget
        assert cell.method == before.method


def test_methods_that_a_scale_makes_the_same_are_refused(tmp_path: Path):
    methods = '[{ name = "gll", grid.gll.evaluation_base_per_class = [5, 10] }]'
    suite_of_two = load_suite(suite(tmp_path, methods))
    with refused(SuiteError, "scale: received 0.1"):
        suite_of_two.scaled(0.1)


def test_the_last_snapshot_stays_the_last(tmp_path: Path):
    after = "[evaluation]\nsnapshot_epochs = [0, 2, 4]\n"
    path = suite(tmp_path, ["softmax"], after=after)
    path.write_text(
        path.read_text().replace("epochs = 4", "epochs = 40").replace("2, 4]", "20, 40]")
    )
    (cell, *_), *_ = load_suite(path).scaled(0.01).cells("cpu")
    assert cell.budget.epochs == 4
    assert cell.evaluation.snapshot_epochs == [0, 2, 4]
