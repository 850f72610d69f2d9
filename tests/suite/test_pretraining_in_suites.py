"""A suite pretrains a backbone once for all its methods, and says so."""

from pathlib import Path

import pytest
import torch
from make_suites import suite

import lapbench
from lapbench.results.folder import ResultsFolder
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.suite import load_suite

DIGITS = """
title = "digits"
seeds = 1
methods = ["softmax", "gll"]

[[tasks]]
dataset = "digits"
backbone = "mlp"
mlp.width = 8

[budget]
epochs = 0

[simclr]
epochs = 2
batch_size = 500
"""


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "digits.toml"
    path.write_text(DIGITS)
    return path


def test_all_methods_start_from_one_pretrained_backbone(digits: Path, tmp_path: Path):
    report = lapbench.run(digits, results=tmp_path / "results")
    folder = ResultsFolder(tmp_path / "results")
    (stored,) = (folder.path / "weights").glob("simclr-*.pt")
    pretrained = folder.read_weights(stored.stem)
    records = [folder.read_record(key) for key in folder.list_keys()]
    assert {record.status for record in records} == {"ok"}
    for record in records:
        assert record.curves["simclr_loss"] == pretrained["losses"]
        state = folder.read_weights(record.key)
        for name, value in pretrained["backbone"].items():
            assert torch.equal(state[f"backbone.{name}"], value)
    (line,) = (line for line in report.conditions if "pretrained without labels" in line)
    assert "2 epochs of sgd" in line


def test_pretraining_is_in_the_key_and_has_its_share_at_a_scale(digits: Path, tmp_path: Path):
    without = tmp_path / "without.toml"
    without.write_text(DIGITS.partition("[simclr]")[0])
    with_it, plain = (
        prepare(digits, RunOptions()).plan.cells[0],
        prepare(without, RunOptions()).plan.cells[0],
    )
    assert with_it.key != plain.key
    (cell, *_), *_ = load_suite(digits).scaled(0.5).cells("cpu")
    assert cell.simclr is not None
    assert cell.simclr.batch_size == 250


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("[simclr]\nepochs = 1\n", "simclr: received 100 training inputs of shape"),
        ('augmentation = "crop-flip"\n', "budget.augmentation: received 'crop-flip' for inputs"),
    ],
)
def test_what_needs_images_is_refused_for_vectors(tmp_path: Path, after: str, reason: str):
    path, results = suite(tmp_path, ["softmax"], after=after), tmp_path / "results"
    lapbench.run(path, results=results)
    folder = ResultsFolder(results)
    (record,) = (folder.read_record(key) for key in folder.list_keys())
    assert record.status == "failed"
    assert reason in str(record.reason)
