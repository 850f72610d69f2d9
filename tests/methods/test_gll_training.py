"""GLL after softmax, both classifiers' curves, and base sets chosen by uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_cells import small_cell
from make_suites import suite
from oracle_graph import adjacency, dense_solution, dense_weights, local_maxima, selected
from torch import Tensor

import lapbench
from lapbench.datasets.base.task import Split, Task
from lapbench.methods.base.budget import Budget
from lapbench.results.folder import ResultsFolder
from lapbench.suite.cells import Cell
from lapbench.suite.components import Component
from lapbench.training.events import Epoch, TrainingObserver
from lapbench.training.loop import train

K = 7
BUDGET = Budget(epochs=4, batch_size=32, learning_rate=0.01, weight_decay=0.01)
CURVES = {
    f"{classifier}_{number}"
    for classifier in ("softmax", "gll")
    for number in ("loss", "validation_accuracy")
}


def cell_of(name: str = "gll", **options: Any) -> Cell:
    """A cell on two overlapping moons."""
    cell = replace(small_cell(name, **options), budget=BUDGET)
    return replace(cell, dataset=Component("two_moons", {"samples": 160, "noise": 0.3}))


def in_double(task: Task) -> Task:
    splits = {name: getattr(task, name) for name in ("train", "validation", "test")}
    return replace(task, **{name: Split(s.x.double(), s.y) for name, s in splits.items()})


@dataclass
class Observed:
    """What happened in an epoch; the first entry is what was before."""

    epoch: Epoch
    weights: dict[str, Tensor]
    batches: list[Tensor] = field(default_factory=list)
    expected_curves: dict[str, float] = field(default_factory=dict)
    uncertainty: dict[str, Tensor] = field(default_factory=dict)
    features: Tensor = field(default_factory=lambda: torch.empty(0))


def observe(cell: Cell, task: Task | None = None) -> tuple[Any, Task, list[Observed]]:
    """A trained model in float64, before it is finished, its task, and its epochs."""
    task = in_double(task or cell.load_task())
    model: Any = cell.build_model(task).double()
    seen: list[Tensor] = []
    loss = model.loss
    model.loss = lambda x, y: (seen.append(x), loss(x, y))[1]
    found: list[Observed] = []

    @torch.no_grad()
    def note(epoch: Epoch) -> None:
        weights = {name: value.clone() for name, value in model.named_parameters()}
        batches = seen[: -(-(len(task.train) - len(epoch.held_out)) // 32)]
        found.append(Observed(epoch, weights, batches, features=model.features(task.train.x)))
        if epoch.number and cell.method.head.parameters.get("softmax_share"):
            found[-1].expected_curves = curves_by_hand(model, task, base_rows(model, task))
        seen.clear()

    train(model, task, cell.budget, cell.seeds, observer=TrainingObserver(epoch=note))
    return model, task, found


def base_rows(model: Any, task: Task) -> list[int]:
    """Rows of the training split that the base set holds."""
    same = (model.base.x[:, None] == task.train.x[None]).all(dim=2)
    return sorted(same.int().argmax(dim=1).tolist())


def values_at(model: Any, features: Tensor, base: Tensor, labels: Tensor) -> Tensor:
    """u at features from those of a base set, by a dense solve."""
    weights = dense_weights(torch.cat([base, features]), model.head.k, "self-tuning")
    return dense_solution(weights, torch.eye(2, dtype=torch.float64)[labels], 0.0)


def curves_by_hand(model: Any, task: Task, base: list[int]) -> dict[str, float]:
    """Loss outside the base set, and accuracy on the validation split, of both classifiers."""
    outside = [row for row in range(len(task.train)) if row not in base and task.train.y[row] >= 0]
    y, rows = task.train.y[outside], torch.arange(len(outside))
    features, validation = (model.features(s.x) for s in (task.train, task.validation))
    logits = features[outside] @ model.linear.weight.T + model.linear.bias
    chances = model.linear(validation)
    of_base = features[base], task.train.y[base]
    values = values_at(model, features[outside], *of_base)
    found = {
        "softmax_loss": (logits.exp().sum(dim=1).log() - logits[rows, y]).mean(),
        "gll_loss": -(values[rows, y] + 1e-8).log().mean(),
    }
    for name, scores in [("softmax", chances), ("gll", values_at(model, validation, *of_base))]:
        right = scores.argmax(dim=1) == task.validation.y
        found[f"{name}_validation_accuracy"] = right.double().mean()
    return {name: float(value) for name, value in found.items()}


@pytest.fixture(scope="module")
def softmax() -> dict[int, dict[str, Tensor]]:
    """Weights after each epoch of softmax."""
    return {n: seen.weights for n, seen in enumerate(observe(cell_of("softmax"))[2])}


@pytest.fixture(scope="module")
def run() -> tuple[Any, Task, list[Observed]]:
    """Two epochs of softmax, then two of the graph layer."""
    return observe(cell_of(softmax_share=0.5, k=K))


class TestSoftmaxFirst:
    def test_softmax_trains_first_and_then_the_graph_layer_alone(self, run: Any, softmax: Any):
        """The linear layer sees all rows, as softmax alone; then it stays, under weight decay too.

        The graph layer's base set is in no mini-batch.
        """
        _, task, epochs = run
        for observed in epochs[1:]:
            held_out = observed.epoch.held_out
            seen = [*torch.cat(observed.batches).tolist(), *task.train.x[held_out].tolist()]
            assert sorted(seen) == sorted(task.train.x.tolist())
        sizes = [task.train.y[seen.epoch.held_out].bincount().tolist() for seen in epochs[1:]]
        assert sizes == [[], [], [10, 10], [10, 10]]
        torch.testing.assert_close(epochs[2].weights, softmax[2], rtol=1e-12, atol=1e-12)
        backbone = {name for name in epochs[0].weights if name.startswith("backbone.")}
        assert changed(epochs[0], epochs[2]) == set(epochs[0].weights)
        assert changed(epochs[2], epochs[4]) == backbone

    def test_curves_are_those_of_both_classifiers_computed_by_hand(self, run: Any):
        _, _, epochs = run
        assert len(epochs) == 5
        for observed in epochs[1:]:
            assert set(observed.epoch.curves) - CURVES == {"training_loss", "validation_accuracy"}
            for name in CURVES:
                expected = observed.expected_curves[name]
                assert observed.epoch.curves[name] == pytest.approx(expected, rel=1e-6), name
        for observed, classifier in zip(epochs[1:], ["softmax"] * 2 + ["gll"] * 2, strict=True):
            curves = observed.epoch.curves
            assert curves["validation_accuracy"] == curves[f"{classifier}_validation_accuracy"]


def changed(before: Observed, after: Observed) -> set[str]:
    return {name for name in before.weights if not before.weights[name].equal(after.weights[name])}


def test_all_softmax_predicts_by_the_graph_from_features_of_softmax(softmax: Any):
    cell = cell_of(softmax_share=1, k=K)
    model, task, epochs = observe(cell)
    torch.testing.assert_close(epochs[-1].weights, softmax[4], rtol=1e-12, atol=1e-12)
    assert all(len(observed.epoch.held_out) == 0 for observed in epochs)
    model.finish(task, cell.seeds.stream("finish"))
    model.eval()
    features = [model.features(x).detach() for x in (task.test.x, model.base.x)]
    assert len(model.base) == len(task.train)
    values = values_at(model, features[0], features[1], model.base.y).clamp_min(1e-8)
    expected = (values / values.sum(dim=1, keepdim=True)).log()
    torch.testing.assert_close(model(task.test.x), expected, rtol=1e-6, atol=1e-7)
    by_softmax = model.linear(features[0]).log_softmax(dim=1)
    assert (by_softmax - expected).abs().max() > 0.1


def test_curves_are_stored_and_saved_models_predict_by_the_graph(tmp_path: Path):
    methods = ", ".join(
        f'{{ name = "gll", label = "{share}", gll.softmax_share = {share} }}'
        for share in (0.0, 0.5, 1.0)
    )
    folder = ResultsFolder(tmp_path / "results")
    lapbench.run(suite(tmp_path, f"[{methods}]"), results=folder.path)
    records = [folder.read_record(key) for key in folder.list_keys()]
    assert len(records) == 3
    for record in records:
        own = CURVES if record.cell.method.head.parameters["softmax_share"] else set()
        assert set(record.curves) == {"training_loss", "validation_accuracy", *own}
        assert all(len(curve) == 4 and None not in curve for curve in record.curves.values())
        task = record.cell.load_task()
        predicted = lapbench.load_model(record.key, folder.path)(task.test.x)
        right = (predicted.argmax(dim=1) == task.test.y).double().mean()
        assert {m.metric: m.value for m in record.metrics}["accuracy"] == float(right)


def test_without_validation_samples_the_losses_alone_are_curves():
    cell = cell_of(softmax_share=0.5, k=K)
    task = in_double(cell.load_task())
    task = replace(task, validation=Split(task.validation.x[:0], task.validation.y[:0]))
    model = cell.build_model(task).double()
    curves: list[set[str]] = []
    observer = TrainingObserver(epoch=lambda epoch: curves.append(set(epoch.curves)))
    train(model, task, BUDGET, cell.seeds, observer=observer)
    assert curves[1:] == [{"training_loss", "softmax_loss", "gll_loss"}] * 4


def uncertainty(kind: str, values: np.ndarray[Any, Any]) -> list[float]:
    """Entropy, or 1 − ‖u‖₂, of each row."""
    if kind == "l2":
        return [1 - float(np.sqrt(sum(u * u for u in row))) for row in values]
    return [-sum(u * float(np.log(u)) for u in row if u > 0) for row in values]


def next_base(model: Any, task: Task, features: Tensor, base: Sequence[int]) -> list[int]:
    """The rows of the next base set by the definitions, from features and the present one."""
    labels = task.train.y.tolist()
    rest = [row for row in range(len(labels)) if row not in set(base)]
    values = np.zeros((len(labels), 2))
    values[list(base)] = np.eye(2)[task.train.y[list(base)]]
    of_base = features[list(base)], task.train.y[list(base)]
    values[rest] = values_at(model, features[rest], *of_base).numpy()
    kind, _, local = model.head.base_update.partition("-")
    scores = uncertainty(kind, values)
    if not local:
        return selected(labels, scores, 10)
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    neighbors = distances.argsort(dim=1)[:, : model.head.k].tolist()
    preferred = local_maxima(scores, adjacency(neighbors, labels))
    return selected(labels, scores, 10, preferred)


@pytest.mark.parametrize("unknown", [0, 15], ids=["", "partly unknown"])
@pytest.mark.parametrize("update", ["entropy", "l2", "entropy-local-max", "l2-local-max"])
def test_base_set_of_the_next_epoch_is_the_least_certain(update: str, unknown: int):
    cell = cell_of(base_update=update, k=K)
    task = cell.load_task()
    task.train.y[:unknown] = -1
    model, task, epochs = observe(cell, task)
    sets = [observed.epoch.held_out.tolist() for observed in epochs[1:]]
    for present, following, observed in zip(sets, sets[1:], epochs[1:-1], strict=False):
        assert following == next_base(model, task, observed.features, present)
        assert task.train.y[following].bincount().tolist() == [10, 10]
    assert sets[0] != sets[1]
