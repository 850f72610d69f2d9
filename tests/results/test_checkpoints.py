"""A training that was stopped after any epoch goes on to the same result, bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from make_cells import METHODS, small_cell

from lapbench.methods.base.budget import Budget
from lapbench.results import checkpoint
from lapbench.results.folder import ResultsFolder
from lapbench.running.cell import Outcome, run_cell, try_cell
from lapbench.suite.cells import Cell, Evaluation
from lapbench.suite.components import Component, Method
from lapbench.suite.plan import PlannedCell
from lapbench.training.adversarial import AdversarialTraining
from lapbench.training.events import Events

EPOCHS = 6
SGD = Budget(epochs=EPOCHS, batch_size=40, optimizer="nesterov", learning_rate=0.05)
GRAPH = {"dataset": Component("karate", {}), "backbone": Component("gnn", {"layers": 2})}


class StopError(BaseException):
    """What kills a process, for once without killing it."""


def cell(name: str, **options: Any) -> Cell:
    snapshots = Evaluation(snapshot_epochs=[0, 1, 4])
    return replace(
        small_cell(name, **options), budget=replace(SGD, schedule="cosine"), evaluation=snapshots
    )


def on_graph(name: str, **options: Any) -> Cell:
    return replace(cell(name, **options), **GRAPH)


CELLS: dict[str, Cell] = {
    **{name: cell(name) for name in METHODS},
    "adam, steps": replace(
        cell("softmax"), budget=replace(SGD, optimizer="adam", schedule="constant")
    ),
    "gll, fixed base": cell("gll", base_update="fixed"),
    "gll, base by entropy": cell("gll", base_update="entropy"),
    "gll after softmax": cell("gll", softmax_share=0.5),
    "wnll, half of the epochs": cell("wnll", wnll_share=0.5),
    "wnll, two rounds": cell("wnll", rounds=2),
    "two terms": replace(
        cell("gll"),
        method=Method(
            Component("gll", {}),
            [Component("label_smoothness", {}), Component("sparse_manifold", {})],
        ),
    ),
    "pgd": replace(
        cell("softmax"),
        training="pgd",
        pgd=AdversarialTraining(epsilon=0.1, step_size=0.05, steps=2),
    ),
    "softmax on nodes": on_graph("softmax"),
    "gll on nodes": on_graph("gll"),
    "wnll on nodes": on_graph("wnll"),
    "bilevel edges": on_graph("bilevel", graph="edges"),
    "bilevel network": on_graph(
        "bilevel", graph="edges", inner="network", hypergradient="unrolled", inner_steps=5
    ),
    "bilevel g2g": on_graph("bilevel", graph="g2g"),
}


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)


def planned(cell: Cell) -> PlannedCell:
    return PlannedCell("0123456789abcdef", "exact", cell)


def stopping_after(epoch: int, seen: list[int]) -> Events:
    """Stops a cell in the epoch after this one, when the checkpoint is there."""

    def watch(result: Any) -> None:
        seen.append(result.number)
        if result.number == epoch + 1:
            raise StopError

    return Events(epoch=watch)


def comparable(outcome: Outcome) -> Any:
    """All but times and provenance, bit by bit."""
    record = outcome.record
    tensors = {name: t for name, t in (outcome.state or {}).items() if isinstance(t, torch.Tensor)}
    weights = {name: t.numpy().tobytes() for name, t in tensors.items()}
    arrays = {name: array.tobytes() for name, array in (outcome.arrays or {}).items()}
    numbers = (record.metrics, record.curves, record.warnings)
    return record.status, record.reason, numbers, weights, arrays


@pytest.mark.parametrize("name", CELLS)
def test_stopped_training_goes_on_to_the_same_result(name: str, tmp_path: Path):
    """Stopped twice, once in each half, so that a state made from a checkpoint is saved too."""
    folder, asked = ResultsFolder(tmp_path), planned(CELLS[name])
    whole = try_cell(asked, ResultsFolder(tmp_path / "whole"))
    assert whole.record.status == "ok", whole.record.reason
    seen: list[int] = []
    for stop in (1, 4):
        with pytest.raises(StopError):
            try_cell(asked, folder, stopping_after(stop, seen))
    resumed = try_cell(asked, folder, Events(epoch=lambda epoch: seen.append(epoch.number)))
    assert comparable(resumed) == comparable(whole)
    assert seen == [0, 1, 2, 2, 3, 4, 5, 5, 6]


def test_stop_between_phases_goes_on_to_the_same_result(tmp_path: Path):
    """Phases of WNLL: the linear one ends where the other begins, with an optimiser of its own."""
    asked = planned(cell("wnll", rounds=2))
    whole = try_cell(asked, ResultsFolder(tmp_path / "whole"))
    for stop in range(1, EPOCHS):
        folder = ResultsFolder(tmp_path / str(stop))
        with pytest.raises(StopError):
            try_cell(asked, folder, stopping_after(stop, []))
        assert comparable(try_cell(asked, folder)) == comparable(whole)


def test_what_comes_after_training_does_not_train_again(tmp_path: Path):
    folder, asked = ResultsFolder(tmp_path), planned(cell("gll"))
    whole, seen = try_cell(asked, folder), list[int]()
    again = try_cell(asked, folder, Events(epoch=lambda epoch: seen.append(epoch.number)))
    assert seen == []
    assert comparable(again) == comparable(whole)
    assert again.record.timing
    assert whole.record.timing
    assert again.record.timing.step_seconds == whole.record.timing.step_seconds


def test_checkpoint_is_read_without_executing_code_and_removed_in_the_end(tmp_path: Path):
    folder, asked = ResultsFolder(tmp_path), planned(cell("label_smoothness"))
    try_cell(asked, folder)
    (path,) = (tmp_path / "checkpoints").iterdir()
    assert torch.load(path, weights_only=True)["epoch"] == EPOCHS
    assert run_cell(asked, folder)
    assert not list((tmp_path / "checkpoints").iterdir())


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def other_code(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"code": "another"}, path)


@pytest.mark.parametrize("spoil", [damage, other_code])
def test_checkpoint_that_cannot_be_used_is_named_and_training_starts_anew(
    spoil: Callable[[Path], None], tmp_path: Path
):
    folder, asked = ResultsFolder(tmp_path), planned(cell("softmax"))
    whole, seen = try_cell(asked, folder), list[int]()
    (path,) = (tmp_path / "checkpoints").iterdir()
    spoil(path)
    again = try_cell(asked, folder, Events(epoch=lambda epoch: seen.append(epoch.number)))
    assert seen == list(range(EPOCHS + 1))
    assert any(path.name in text for text in again.record.warnings)
    assert again.record.metrics == whole.record.metrics


def test_short_training_writes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 10.0)
    try_cell(planned(cell("softmax")), ResultsFolder(tmp_path))
    assert not (tmp_path / "checkpoints").exists()
