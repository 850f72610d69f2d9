"""The bytes that a training step saves for its backward pass; counting changes nothing else."""

import gc
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from make_cells import BUDGET, small_cell
from make_runs import comparable
from torch import Tensor

import lapbench
from lapbench.measure import memory
from lapbench.measure.memory import saved_bytes
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.methods.base.saved_tensors import count_saved_bytes
from lapbench.reports.leaderboard import further_numbers, leaderboard, readable
from lapbench.results.folder import ResultsFolder
from lapbench.running import cell_steps
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component, Method
from lapbench.training import steps
from lapbench.training.adversarial import AdversarialTraining

LARGE = 2**20


class Hungry(Term):
    """Saves 1 MiB in the steps that a test names, and notes all steps."""

    def __init__(self, when: Callable[[Model], bool] = lambda _: True) -> None:
        self.when = when
        self.steps: list[tuple[int, float, bool]] = []

    def penalty(self, model: Model, x: Tensor, y: Tensor, progress: float) -> Tensor:
        self.steps.append((len(y), progress, model.training))
        if not self.when(model):
            return x.new_zeros(())
        trained = sum(p.sum() for p in model.parameters() if p.requires_grad)
        return (trained * torch.zeros(LARGE // 4)).sum()


def needed(cell: Cell) -> tuple[int, int]:
    """Bytes that a step of a cell saves, and those of softmax."""
    own, softmax = saved_bytes(cell, cell.load_task())
    assert own is not None
    assert softmax is not None
    return own, softmax


def give(monkeypatch: pytest.MonkeyPatch, term: Term) -> None:
    """Add a term to all methods but softmax."""
    monkeypatch.setattr(
        Method, "create_terms", lambda self: [term] if self.head.name != "softmax" else []
    )


class TestCount:
    def test_each_storage_counts_once_until_the_graph_lets_go_of_it(self):
        """By hand: x² and x³ save x alone, 4 bytes each of its 10 numbers; exp saves its result."""
        x = torch.ones(10, requires_grad=True)
        with count_saved_bytes() as saved:
            y = x**2 + x[2:].sum() * 0 + x**3
            assert saved.now == 40
            z = y.exp()
            assert (saved.now, saved.peak) == (80, 80)
            z.sum().backward()
            assert (saved.now, saved.peak) == (0, 80)
        assert x.grad is not None
        torch.testing.assert_close(x.grad, 5 * torch.exp(torch.tensor(2.0)).expand(10))

    def test_a_graph_that_is_dropped_without_a_backward_pass_counts_no_longer(self):
        x = torch.ones(10, requires_grad=True)
        with count_saved_bytes() as saved:
            y = x.exp()
            del y
            gc.collect()
            assert (saved.now, saved.peak) == (0, 40)

    def test_ignored_storages_do_not_count_nor_do_views_of_them(self):
        x = torch.ones(10)
        w = torch.ones(10, requires_grad=True)
        with count_saved_bytes([x, w]) as saved:
            (w[3:] * x[:7]).sum().backward()
        assert saved.peak == 0

    def test_gradients_of_gradients_are_right(self):
        x = torch.tensor(2.0, requires_grad=True)
        with count_saved_bytes():
            (first,) = torch.autograd.grad(x.exp() * x**3, x, create_graph=True)
            (second,) = torch.autograd.grad(first, x)
        torch.testing.assert_close(second, torch.exp(torch.tensor(2.0)) * (8 + 6 * 4 + 6 * 2))


def test_a_step_of_softmax_by_hand():
    """A batch of 100 points in an MLP 2 → 8 → 8 → 64 → 2.

    It saves the input of each layer (ReLU outputs too, once), the logarithms of the probabilities,
    and the total weight of the loss; no weights, and no labels.
    """
    expected = 4 * (100 * (2 + 8 + 8 + 64 + 2) + 1)
    assert needed(small_cell("softmax")) == (expected, expected)


def test_step_is_one_of_the_last_epoch_on_a_full_batch(monkeypatch: pytest.MonkeyPatch):
    term = Hungry()
    give(monkeypatch, term)
    cell = replace(small_cell("gll"), budget=replace(BUDGET, batch_size=30))
    own, softmax = needed(cell)
    assert LARGE <= own < 1.1 * LARGE
    assert softmax < LARGE / 20
    assert set(term.steps) == {(30, 0.75, True)}
    needed(replace(cell, dataset=Component("karate", {})))
    assert term.steps[-1][0] == 34  # all nodes are the batch of a node task


@pytest.mark.parametrize(
    ("cell", "attribute", "phase"),
    [
        (small_cell("wnll"), "branch", "linear"),
        (small_cell("wnll", rounds=2), "branch", "wnll"),
        (small_cell("gll", softmax_share=0.5), "classifier", "softmax"),
        (small_cell("gll", softmax_share=0.5), "classifier", "gll"),
    ],
)
def test_phase_that_saves_most_counts(
    monkeypatch: pytest.MonkeyPatch, cell: Cell, attribute: str, phase: str
):
    give(monkeypatch, Hungry(lambda model: getattr(model, attribute) == phase))
    assert LARGE <= needed(cell)[0] < 1.5 * LARGE


def test_attack_of_adversarial_training_belongs_to_the_step(monkeypatch: pytest.MonkeyPatch):
    def perturb(_: Model, x: Tensor, *__: object) -> Tensor:
        weights = torch.zeros(LARGE // 4, requires_grad=True)
        return x + weights.exp().sum().detach() * 0 + 0 * weights.exp().sum() * x[0, 0]

    monkeypatch.setattr(steps, "perturb", perturb)
    pgd = AdversarialTraining(epsilon=0.1, step_size=0.02)
    own, softmax = needed(replace(small_cell("gll"), training="pgd", pgd=pgd))
    assert own > LARGE
    assert softmax < LARGE / 20


def test_unrolled_hypergradient_saves_in_proportion_to_its_steps():
    def unrolled(steps: int) -> int:
        cell = small_cell("bilevel", graph="edges", hypergradient="unrolled", inner_steps=steps)
        return needed(replace(cell, dataset=Component("stochastic_blocks", {})))[0]

    short, middle, long = map(unrolled, (5, 10, 15))
    assert long - middle == middle - short > 0


def test_nothing_is_measured_where_nothing_is_trained():
    cell = replace(small_cell("gll"), budget=replace(BUDGET, epochs=0))
    assert saved_bytes(cell, cell.load_task()) == (None, None)


@pytest.fixture
def several_methods(tiny_suite: Path) -> Path:
    """The tiny suite with phases, random corners and attacked batches."""
    text = tiny_suite.read_text().replace('["softmax", "gll"]', '["wnll", "sparse_manifold"]')
    trained = 'training = ["natural", "pgd"]\npgd = { epsilon = 0.1, step_size = 0.05 }\n'
    tiny_suite.write_text(trained + text.replace("seeds = 2", "seeds = 1"))
    return tiny_suite


def test_counting_changes_nothing_else(
    several_methods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lapbench.run(several_methods, results=tmp_path / "with")
    monkeypatch.setattr(cell_steps, "saved_bytes", lambda *_: (None, None))
    lapbench.run(several_methods, results=tmp_path / "without")
    assert comparable(tmp_path / "with") == comparable(tmp_path / "without")
    first, second = (ResultsFolder(tmp_path / name) for name in ("with", "without"))
    for key in first.list_keys():
        record = first.read_record(key)
        assert record.timing is not None
        again = saved_bytes(record.cell, record.cell.load_task())
        assert (record.timing.saved_bytes, record.timing.softmax_saved_bytes) == again
        states = first.read_weights(key), second.read_weights(key)
        torch.testing.assert_close(*states, rtol=0, atol=0)


def test_a_failed_count_is_a_warning_and_a_dash(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> int:
        raise MemoryError("no | luck")

    monkeypatch.setattr(memory, "_bytes", fail)
    lapbench.run(tiny_suite, results=tmp_path)
    folder = ResultsFolder(tmp_path)
    for record in map(folder.read_record, folder.list_keys()):
        assert (record.status, len(record.warnings)) == ("ok", 1)
        assert "MemoryError: no | luck" in record.warnings[0]
    assert set(readable(leaderboard(lapbench.load_records(tmp_path)))["saved [MB]"]) == {"–"}

    sizes = {"softmax": (400_000, 400_000), "gll": (3_000_000, 1_500_000)}
    for path in (tmp_path / "records").glob("*.json"):
        content = json.loads(path.read_text())
        own, softmax = sizes[content["cell"]["method"]["head"]["name"]]
        content["timing"] |= {"saved_bytes": own, "softmax_saved_bytes": softmax}
        path.write_text(json.dumps(content))
    board = leaderboard(lapbench.load_records(tmp_path))
    table = readable(board).set_index("method")
    assert dict(table["saved [MB]"]) == {"softmax": "0.40 ± 0.00", "gll": "3.00 ± 0.00"}
    assert not set(further_numbers(board)["metric"]) & {"saved_megabytes", "saved_ratio"}
