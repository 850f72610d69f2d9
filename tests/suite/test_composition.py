"""Heads with terms, and natural with adversarial training, from a suite to a saved model."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from make_suites import BOTH, TABLE, planned, suite

import lapbench
from lapbench import discovery
from lapbench.cli.main import main
from lapbench.datasets.base.task import data_hash
from lapbench.methods.base.method import Term
from lapbench.methods.base.model import Model
from lapbench.results.collect import load_records
from lapbench.results.folder import ResultsFolder
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.suite import load_suite
from lapbench.training.metrics import predict

COMPOSED = [
    "gll + sparse_manifold",
    "wnll + label_smoothness",
    "label_smoothness + parseval",
    "sparse_manifold",
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the composed methods in both kinds of training."""
    folder = tmp_path_factory.mktemp("composed")
    lapbench.run(suite(folder, COMPOSED, BOTH, TABLE), results=folder / "results")
    return folder / "results"


class TestResults:
    def test_all_are_in_the_tables_in_both_kinds_of_training(self, results: Path):
        frame = load_records(results)
        rows = frame[frame["metric"] == "accuracy"]
        assert set(rows["status"]) == {"ok"}
        assert sorted(zip(rows["method"], rows["training"], strict=True)) == sorted(
            (name, training) for name in COMPOSED for training in ("natural", "pgd")
        )
        board = pd.read_csv(results / "leaderboard.csv")
        rows = board[board["metric"] == "accuracy"]
        assert sorted(rows["method"]) == sorted(2 * COMPOSED)
        assert rows["mean"].between(0, 1).all()
        assert (rows["cells_ok"] == 1).all()
        kinds = dict(zip(rows["method"], rows["gradient"], strict=True))
        assert kinds["gll + sparse_manifold"] == "exact"
        assert kinds["wnll + label_smoothness"] == "surrogate"
        assert kinds["sparse_manifold"] == "autograd"

    def test_curves_have_a_number_for_each_epoch(self, results: Path):
        folder = ResultsFolder(results)
        for key in folder.list_keys():
            curves = folder.read_record(key).curves
            assert {"training_loss", "validation_accuracy"} <= set(curves)
            assert all(len(curve) == 4 and None not in curve for curve in curves.values())

    def test_saved_models_are_loaded_with_their_terms(self, results: Path):
        """Two loaded models predict the same bits, and what was evaluated."""
        folder = ResultsFolder(results)
        for key in folder.list_keys():
            record = folder.read_record(key)
            task = record.cell.load_task()
            one, two = (lapbench.load_model(key, results) for _ in range(2))
            predicted = predict(one, task.test.x, record.cell.evaluation.batch_size)
            assert predicted.equal(predict(two, task.test.x, record.cell.evaluation.batch_size))
            result = {metric.metric: metric.value for metric in record.metrics}
            right = (predicted.argmax(dim=1) == task.test.y).double().mean()
            loss = -predicted[torch.arange(len(predicted)), task.test.y].mean()
            assert result["accuracy"] == float(right)
            assert result["negative_log_likelihood"] == pytest.approx(float(loss), rel=1e-6)

    def test_command_selects_a_kind_of_training(self, results: Path):
        arguments = ["run", str(results.parent / "suite.toml"), "--results", str(results)]
        shown = CliRunner().invoke(main, [*arguments, "--training", "pgd", "--dry-run"])
        assert "0 of 4 cells would run" in shown.output
        fresh = [*arguments[:-1], str(results.parent / "other"), "--training", "pgd", "--dry-run"]
        lines = CliRunner().invoke(main, fresh).output.splitlines()
        assert len(lines) == 5
        assert all("  pgd  " in line for line in lines[:-1])


def test_saved_convolutions_with_parseval_predict_the_same(tmp_path: Path):
    """Reparametrised weights are stored, and restored bit for bit."""
    path = tmp_path / "suite.toml"
    path.write_text(
        'title = "digits"\nmethods = ["parseval"]\nseeds = 1\n'
        '[[tasks]]\ndataset = "digits"\nbackbone = "small_resnet"\n'
        "small_resnet = { width = 2, blocks = 1 }\n[budget]\nepochs = 1\n"
    )
    lapbench.run(path, results=tmp_path / "r")
    folder = ResultsFolder(tmp_path / "r")
    (key,) = folder.list_keys()
    record, state = folder.read_record(key), folder.read_weights(key)
    assert any("parametrizations" in name for name in state)
    model = lapbench.load_model(key, tmp_path / "r")
    result = model.state_dict()
    assert set(result) == set(state)
    assert all(torch.equal(result[n], v) for n, v in state.items() if isinstance(v, torch.Tensor))
    task = record.cell.load_task()
    predicted = predict(model, task.test.x, record.cell.evaluation.batch_size)
    right = float((predicted.argmax(dim=1) == task.test.y).double().mean())
    assert {m.metric: m.value for m in record.metrics}["accuracy"] == right


class TestNames:
    @pytest.mark.parametrize(
        ("written", "name"),
        [
            ("gll + sparse_manifold", "gll + sparse_manifold"),
            ("sparse_manifold+gll", "gll + sparse_manifold"),
            ("  parseval   +label_smoothness ", "label_smoothness + parseval"),
            ("softmax + sparse_manifold", "sparse_manifold"),
            ("parseval + wnll + label_smoothness", "wnll + label_smoothness + parseval"),
        ],
    )
    def test_are_canonical_whatever_the_order_and_spacing(
        self, tmp_path: Path, written: str, name: str
    ):
        (result,) = planned(suite(tmp_path, [written]))
        (expected,) = planned(suite(tmp_path, [name]))
        assert result.cell.method.name == name
        assert result == expected

    def test_options_reach_the_part_of_their_name(self, tmp_path: Path):
        path = suite(
            tmp_path,
            '[{ name = "sparse_manifold + gll", gll.tau = 1, sparse_manifold.alpha = 3.0 }]',
        )
        (entry,) = load_suite(path).methods
        method = entry.method
        assert method.head.parameters["tau"] == 1.0
        assert method.create_head().tau == 1.0  # type: ignore[attr-defined]
        assert method.terms[0].parameters["alpha"] == 3.0
        assert method.create_terms()[0].alpha == 3.0  # type: ignore[attr-defined]

    def test_tell_apart_by_the_options_that_differ(self, tmp_path: Path):
        """With the part they belong to, where there is more than one with options."""
        path = suite(
            tmp_path,
            '["gll + sparse_manifold", "sparse_manifold", '
            '{ name = "gll + sparse_manifold", gll.tau = 0.5 }, '
            '{ name = "sparse_manifold", sparse_manifold.alpha = 2.0 }]',
        )
        prepared = prepare(path, RunOptions(results=tmp_path / "r"))
        prepared.folder.write_plan(prepared.plan)
        assert set(load_records(tmp_path / "r")["method"]) == {
            "gll + sparse_manifold (gll.tau=0.0, sparse_manifold.alpha=8.0)",
            "gll + sparse_manifold (gll.tau=0.5, sparse_manifold.alpha=8.0)",
            "sparse_manifold (alpha=8.0)",
            "sparse_manifold (alpha=2.0)",
        }


def test_all_methods_have_the_same_splits_of_each_repetition(tmp_path: Path):
    path = suite(tmp_path, ["softmax", "gll + parseval", "wnll"], BOTH, TABLE)
    path.write_text(path.read_text().replace("seeds = 1", "seeds = 2"))
    hashes: list[dict[str, str]] = [{}, {}]
    for each in planned(path):
        digest = data_hash(each.cell.load_task())
        hashes[each.cell.repetition][f"{each.cell.method.name}, {each.cell.training}"] = digest
        assert each.data == digest[:16]
    first, second = (set(by_row.values()) for by_row in hashes)
    assert len(hashes[0]) == 6
    assert len(first) == len(second) == 1
    assert first != second


class TestKeys:
    def test_differ_between_kinds_of_training_and_attacks(self, tmp_path: Path):
        keys = [cell.key for cell in planned(suite(tmp_path, ["gll"], BOTH, TABLE))]
        keys += [
            cell.key
            for cell in planned(suite(tmp_path, ["gll"], BOTH, TABLE.replace("0.2", "0.3")))
        ]
        assert len(set(keys)) == 3
        assert keys[0] == keys[2] == planned(suite(tmp_path, ["gll"]))[0].key

    def test_differ_between_terms_and_their_options(self, tmp_path: Path):
        methods = '["gll", "gll + parseval", { name = "gll + parseval", parseval.beta = 0.02 }]'
        assert len({cell.key for cell in planned(suite(tmp_path, methods))}) == 3

    def test_are_equal_for_equal_cells(self, tmp_path: Path):
        """Whether a default is written out, as 1 or 1.0, or not at all."""
        written = (
            '[{ name = "parseval + gll", gll = { tau = 0, k = 25 }, parseval.beta = 1e-2, '
            "learning_rate = 0.001 }]"
        )
        table = TABLE.replace("steps = 2", "steps = 5")
        result = planned(suite(tmp_path, written, BOTH, table))
        assert result == planned(
            suite(tmp_path, ["gll + parseval"], BOTH, TABLE.replace("steps = 2\n", ""))
        )

    def test_change_with_the_data(self, tmp_path: Path):
        (each,) = planned(suite(tmp_path, ["gll"]))
        assert each.key == each.cell.key(data_hash(each.cell.load_task()))
        assert each.key != each.cell.key("other data")

    def test_change_with_the_version_of_a_term(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        path = suite(tmp_path, ["gll + parseval"])
        before = planned(path)[0].key
        monkeypatch.setattr(discovery.load("methods", "parseval"), "version", 99)
        assert planned(path)[0].key != before


def test_term_that_draws_when_it_prepares_a_model_draws_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whatever was drawn from torch's generator before, which is left as it was."""

    def prepare_at_random(_: Term, model: Model) -> None:
        for parameter in model.parameters():
            parameter.data = torch.randn_like(parameter)

    monkeypatch.setattr(discovery.load("methods", "parseval"), "prepare", prepare_at_random)
    (cell,) = (each.cell for each in planned(suite(tmp_path, ["parseval"])))
    task = cell.load_task()
    torch.manual_seed(0)
    first = list(cell.build_model(task).parameters())
    again = list(cell.build_model(task).parameters())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    following = torch.randn(3)
    torch.manual_seed(0)
    assert torch.equal(following, torch.randn(3))
