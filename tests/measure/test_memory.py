"""The memory of a training step is found, and looking for it changes nothing else."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import comparable
from table import BUDGET, small_cell
from torch import Tensor

import lapbench
from lapbench.measure import memory
from lapbench.measure.memory import is_measurable, peak_bytes, step_memory
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.reports.leaderboard import further_numbers, leaderboard, readable
from lapbench.results.folder import ResultsFolder
from lapbench.running import cell_steps
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component, Method
from lapbench.training import steps
from lapbench.training.adversarial import AdversarialTraining

LARGE = 2**26

measured = pytest.mark.skipif(not is_measurable(), reason="needs Linux with glibc")


class Hungry(Term):
    """Needs 64 MiB in the steps that a test says, and notes all steps."""

    def __init__(self, when: Callable[[Model], bool] = lambda _: True) -> None:
        self.when = when
        self.steps: list[tuple[int, float, bool]] = []

    def penalty(self, model: Model, x: Tensor, y: Tensor, progress: float) -> Tensor:
        self.steps.append((len(y), progress, model.training))
        return large().sum() * 0 if self.when(model) else x.new_zeros(())


def large() -> Tensor:
    """64 MiB."""
    return torch.ones(LARGE // 4)


def needed(cell: Cell) -> tuple[int | None, int | None]:
    """The memory of a step of a cell, and of softmax."""
    return step_memory(cell, cell.load_task())


def give(monkeypatch: pytest.MonkeyPatch, term: Term) -> None:
    """Add a term to all methods but softmax."""
    monkeypatch.setattr(
        Method, "create_terms", lambda self: [term] if self.head.name != "softmax" else []
    )


@measured
@pytest.mark.parametrize("allocate", [large, lambda: np.ones(LARGE // 8)])
def test_known_allocation_is_found_although_it_is_freed(allocate: Callable[[], object]):
    assert peak_bytes(allocate, "cpu") == pytest.approx(LARGE, rel=0.03)


@measured
def test_step_is_one_of_the_last_epoch_on_the_largest_batch(monkeypatch: pytest.MonkeyPatch):
    term = Hungry()
    give(monkeypatch, term)
    own, softmax = needed(replace(small_cell("gll"), budget=replace(BUDGET, batch_size=30)))
    assert own == pytest.approx(LARGE, rel=0.03)
    assert softmax is not None
    assert softmax < LARGE / 20
    assert set(term.steps) == {(30, 0.75, True)}


@measured
@pytest.mark.parametrize(
    ("cell", "attribute", "phase"),
    [
        (small_cell("wnll"), "branch", "linear"),
        (small_cell("wnll", rounds=2), "branch", "wnll"),
        (small_cell("gll", softmax_share=0.5), "classifier", "softmax"),
        (small_cell("gll", softmax_share=0.5), "classifier", "gll"),
    ],
)
def test_phase_that_needs_the_most_counts(
    monkeypatch: pytest.MonkeyPatch, cell: Cell, attribute: str, phase: str
):
    give(monkeypatch, Hungry(lambda model: getattr(model, attribute) == phase))
    own, _ = needed(cell)
    assert own == pytest.approx(LARGE, rel=0.05)


@measured
def test_attack_of_adversarial_training_belongs_to_the_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steps, "perturb", lambda _, x, *__: x + 0 * large()[: len(x), None])
    pgd = AdversarialTraining(epsilon=0.1, step_size=0.02)
    own, softmax = needed(replace(small_cell("gll"), training="pgd", pgd=pgd))
    assert own == pytest.approx(LARGE, rel=0.05)
    assert softmax is not None
    assert softmax < LARGE / 20


@measured
def test_memory_of_an_unrolled_hypergradient_grows_with_the_steps_and_repeats():
    def unrolled(steps: int) -> int | None:
        cell = small_cell("bilevel", graph="edges", hypergradient="unrolled", inner_steps=steps)
        return needed(replace(cell, dataset=Component("stochastic_blocks", {})))[0]

    short, long = unrolled(50), unrolled(100)
    assert short is not None
    assert long == pytest.approx(2 * short, rel=0.1)
    assert unrolled(50) == pytest.approx(short, rel=0.1)


@measured
def test_all_nodes_are_the_batch_of_a_node_task(monkeypatch: pytest.MonkeyPatch):
    term = Hungry()
    give(monkeypatch, term)
    cell = replace(small_cell("gll"), dataset=Component("karate", {}))
    needed(replace(cell, budget=replace(BUDGET, batch_size=5)))
    assert {samples for samples, *_ in term.steps} == {34}


@pytest.mark.parametrize("missing", ["Linux", "training"])
def test_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch, missing: str):
    cell = small_cell("gll")
    if missing == "Linux":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        cell = replace(cell, budget=replace(BUDGET, epochs=0))
    assert needed(cell) == (None, None)


@pytest.fixture
def several_methods(tiny_suite: Path) -> Path:
    """The tiny suite with phases, random corners and attacked batches."""
    text = tiny_suite.read_text().replace('["softmax", "gll"]', '["wnll", "sparse_manifold"]')
    trained = 'training = ["natural", "pgd"]\npgd = { epsilon = 0.1, step_size = 0.05 }\n'
    tiny_suite.write_text(trained + text.replace("seeds = 2", "seeds = 1"))
    return tiny_suite


@measured
def test_measuring_changes_nothing_else(
    several_methods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lapbench.run(several_methods, results=tmp_path / "with")
    monkeypatch.setattr(cell_steps, "step_memory", lambda *_: (None, None))
    lapbench.run(several_methods, results=tmp_path / "without")
    assert comparable(tmp_path / "with") == comparable(tmp_path / "without")
    first, second = (ResultsFolder(tmp_path / name) for name in ("with", "without"))
    for key in first.list_keys():
        timing = first.read_record(key).timing
        assert timing is not None
        assert timing.step_bytes is not None
        states = first.read_weights(key), second.read_weights(key)
        torch.testing.assert_close(*states, rtol=0, atol=0)


def test_cell_whose_memory_cannot_be_measured_is_kept(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> int:
        raise MemoryError("no | luck")

    monkeypatch.setattr(memory, "peak_bytes", fail)
    monkeypatch.setattr(memory, "is_measurable", lambda: True)
    lapbench.run(tiny_suite, results=tmp_path)
    for key in ResultsFolder(tmp_path).list_keys():
        record = ResultsFolder(tmp_path).read_record(key)
        assert record.status == "ok"
        assert record.timing is not None
        assert record.timing.step_bytes is None
        assert record.warnings == ["the memory of a step was not measured: MemoryError: no | luck"]


def test_leaderboard_shows_megabytes_and_a_dash_in_older_records(tiny_suite: Path, tmp_path: Path):
    lapbench.run(tiny_suite, results=tmp_path)
    sizes = {"softmax": [(400_000, 400_000)] * 2, "gll": [(3_000_000, 1_500_000)] * 2}
    for path in (tmp_path / "records").glob("*.json"):
        record = json.loads(path.read_text())
        del record["timing"]["step_bytes"], record["timing"]["softmax_step_bytes"]
        path.write_text(json.dumps(record))
    older = readable(leaderboard(lapbench.load_records(tmp_path)))
    assert set(older["memory [MB]"]) == {"–"}

    for path in (tmp_path / "records").glob("*.json"):
        record = json.loads(path.read_text())
        own, softmax = sizes[record["cell"]["method"]["head"]["name"]].pop()
        record["timing"] |= {"step_bytes": own, "softmax_step_bytes": softmax}
        path.write_text(json.dumps(record))
    board = leaderboard(lapbench.load_records(tmp_path))
    table = readable(board).set_index("method")
    assert dict(table["memory [MB]"]) == {"softmax": "< 1", "gll": "3.0 ± 0.0"}
    ratios = board[board["metric"] == "memory_ratio"]
    assert list(zip(ratios["method"], ratios["mean"], strict=True)) == [("gll", 2.0)]
    assert set(board.loc[board["metric"] == "step_megabytes", "split"]) == {"train"}
    assert not set(further_numbers(board)["metric"]) & {"step_megabytes", "memory_ratio"}
