"""Few labels: which training samples keep theirs, and what is made of the others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from make_cells import small_cell
from make_suites import mistakes, planned, suite

import lapbench
from lapbench.cli.main import main
from lapbench.datasets.base.task import Split, Task
from lapbench.measure import timing
from lapbench.results.collect import load_records
from lapbench.results.folder import ResultsFolder
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component
from lapbench.training.samples import keep_labels


def few(count: int, repetition: int = 0, dataset: str = "two_moons") -> Cell:
    options = {"samples": 160} if dataset == "two_moons" else {}
    cell = replace(small_cell("softmax"), labeled=count, repetition=repetition)
    return replace(cell, dataset=Component(dataset, options))


@pytest.mark.parametrize("dataset", ["two_moons", "digits"])
@pytest.mark.parametrize("count", [10, 13, 47])
def test_labels_are_kept_evenly_over_the_classes(dataset: str, count: int):
    everything = replace(few(1, dataset=dataset), labeled=None).load_task()
    task = few(count, dataset=dataset).load_task()
    known = task.train.y >= 0
    counts = task.train.y[known].bincount(minlength=task.num_classes)
    assert int(counts.sum()) == count
    assert counts.max() - counts.min() <= 1
    assert task.train.y[known].equal(everything.train.y[known])
    assert task.train.x.equal(everything.train.x)
    for name in ("validation", "test"):
        assert getattr(task, name).y.equal(getattr(everything, name).y)
        assert getattr(task, name).x.equal(getattr(everything, name).x)


def skewed(sizes: list[int], unknown: int) -> Task:
    """Classes of these sizes, and some samples of unknown class among them."""
    y = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(unknown, -1)])
    y = torch.from_numpy(np.random.default_rng(0).permutation(y))
    x = torch.arange(len(y)).float()[:, None]
    split = Split(x, y)
    return Task("skewed", split, split, split, len(sizes))


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, [1, 1, 1]), (9, [2, 3, 4]), (10, [2, 3, 5]), (7, [2, 2, 3]), (22, [2, 3, 17])],
)
def test_small_class_keeps_all_and_others_share_the_rest(count: int, expected: list[int]):
    task = keep_labels(skewed([2, 3, 17], unknown=8), count, np.random.default_rng(1))
    known = task.train.y >= 0
    found = task.train.y[known].bincount(minlength=3).tolist()
    assert sorted(found) == sorted(expected)
    assert all(kept <= size for kept, size in zip(found, [2, 3, 17], strict=True))
    assert task.train.y[known].equal(skewed([2, 3, 17], unknown=8).train.y[known])


def test_choice_depends_on_the_repetition_alone():
    kept = [few(10, repetition).load_task().train.y for repetition in (0, 0, 1)]
    assert kept[0].equal(kept[1])
    # The training samples differ too, so that rows are compared and not samples.
    assert not (kept[0] >= 0).equal(kept[2] >= 0)


def test_choice_is_uniform_within_a_class():
    """Each of 40 is among the 10 kept in a quarter of 400 draws: 100 ± 4.5 deviations."""
    task = skewed([40, 40], unknown=0)
    times = torch.zeros(80)
    for seed in range(400):
        times += keep_labels(task, 20, np.random.default_rng(seed)).train.y >= 0
    assert (times - 100).abs().max() < 4.5 * (400 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("count", [1, 101])
def test_too_few_or_too_many_are_a_message_and_no_traceback(tmp_path: Path, count: int):
    path = suite(tmp_path, ["softmax"], task=f"labeled = {count}\n")
    ran = CliRunner().invoke(main, ["run", str(path), "--results", str(tmp_path / "r")])
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert ran.exit_code == 2
    assert f"labeled: received {count}; two_moons has 2 classes and 100 " in ran.output
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("count", ["0", "-3", "2.0", '"20"', "true"])
def test_count_that_is_no_positive_integer_names_its_place(tmp_path: Path, count: str):
    (found,) = mistakes(suite(tmp_path, ["softmax"], task=f"labeled = {count}\n"))
    assert found.startswith("tasks[0].labeled: received ")


def two_tasks(folder: Path, first: str, second: str) -> Path:
    after = '[[tasks]]\ndataset = "two_moons"\nbackbone = "mlp"\ntwo_moons.samples = 160\n'
    after += f"mlp.width = 8\n{second}"
    return suite(folder, ["softmax", "wnll"], after=after, task=first)


def test_names_tell_tasks_with_different_counts_apart(tmp_path: Path):
    path = two_tasks(tmp_path, "labeled = 20\n", "")
    report = lapbench.run(path, results=tmp_path / "r")
    names = {"two_moons (labeled=20)", "two_moons (labeled=all)"}
    assert set(report.board["task"]) == set(load_records(tmp_path / "r")["task"]) == names
    assert len({cell.key for cell in planned(path)}) == 4


def test_equal_tasks_are_a_mistake(tmp_path: Path):
    (found,) = mistakes(two_tasks(tmp_path, "labeled = 20\n", "labeled = 20\n"))
    assert found.startswith("tasks[1]: ")
    assert "tasks[0]" in found


def test_all_methods_run_on_few_labels_and_are_loaded_again(tmp_path: Path):
    methods = (
        '["softmax", "svm", "wnll", "label_smoothness", "sparse_manifold", '
        '{ name = "gll", gll.base_per_class = 3, gll.base_update = "entropy-local-max" }]'
    )
    lapbench.run(suite(tmp_path, methods, task="labeled = 20\n"), results=tmp_path / "r")
    folder = ResultsFolder(tmp_path / "r")
    assert len(folder.list_keys()) == 6
    for key in folder.list_keys():
        record = folder.read_record(key)
        assert (record.status, record.cell.labeled) == ("ok", 20), record.reason
        task = record.cell.load_task()
        predicted = lapbench.load_model(key, tmp_path / "r")(task.test.x)
        right = (predicted.argmax(dim=1) == task.test.y).double().mean()
        assert {m.metric: m.value for m in record.metrics}["accuracy"] == float(right)


def test_step_of_softmax_is_timed_on_as_many_known_samples_as_a_step_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise the ratio compares a batch of 20 with one of 40."""
    timed: list[torch.Tensor] = []
    take_step = timing.take_step

    def spy(model: Any, optimizer: Any, x: torch.Tensor, y: torch.Tensor, recipe: Any) -> float:
        timed.append(y)
        return take_step(model, optimizer, x, y, recipe)

    monkeypatch.setattr(timing, "take_step", spy)
    lapbench.run(suite(tmp_path, ["softmax"], task="labeled = 20\n"), results=tmp_path / "r")
    assert timed
    assert all(len(y) == 20 and (y >= 0).all() for y in timed)
