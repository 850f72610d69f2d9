"""Entries of a suite: budgets, hidden classes, labels and grids reach cells, names and keys."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from expect_refusal import refused
from make_suites import SECOND, mistakes, names, on_karate, planned, suite

import lapbench
from lapbench.cli.main import main
from lapbench.reporting.conditions import conditions
from lapbench.results.folder import ResultsFolder
from lapbench.running.api import RunOptions, prepare
from lapbench.suite.suite import SuiteError


class TestBudgetOfATask:
    def test_changes_the_fields_that_it_names(self, tmp_path: Path):
        changed = "budget = { epochs = 2, learning_rate = 0.5 }\n"
        path = suite(tmp_path, ["softmax"], after=SECOND, task=changed)
        first, second = (each.cell.budget for each in planned(path))
        assert (first.epochs, first.learning_rate, first.batch_size) == (2, 0.5, 40)
        assert (second.epochs, second.learning_rate, second.batch_size) == (4, 0.001, 40)
        lapbench.run(path, results=tmp_path / "r")
        folder = ResultsFolder(tmp_path / "r")
        records = [folder.read_record(key) for key in folder.list_keys()]
        lengths = {len(record.curves["training_loss"]) for record in records}
        assert lengths == {2, 4}

    def test_gives_way_to_the_learning_rate_of_a_method(self, tmp_path: Path):
        methods = '["softmax", { name = "gll", learning_rate = 0.1 }]'
        path = suite(tmp_path, methods, task="budget = { learning_rate = 0.5 }\n")
        rates = {each.cell.method.name: each.cell.budget.learning_rate for each in planned(path)}
        assert rates == {"softmax": 0.5, "gll": 0.1}

    @pytest.mark.parametrize(("epochs", "snapshot"), [(2, 2), (8, 8)])
    def test_says_which_epoch_is_the_last(self, tmp_path: Path, epochs: int, snapshot: int):
        after = f"[evaluation]\nsnapshot_epochs = [{snapshot}]\n"
        task = f"budget.epochs = {epochs}\n"
        assert len(planned(suite(tmp_path, ["softmax"], after=after, task=task))) == 1
        later = after.replace(str(snapshot), str(snapshot + 1))
        (result,) = mistakes(suite(tmp_path, ["softmax"], after=later, task=task))
        assert result.startswith(f"evaluation.snapshot_epochs: received {snapshot + 1}; ")

    def test_two_tasks_may_differ_in_nothing_else(self, tmp_path: Path):
        path = suite(tmp_path, ["softmax"], after=SECOND + "mlp.width = 8\nbudget.epochs = 2\n")
        assert len({each.key for each in planned(path)}) == 2
        assert {method for _, method in names(path)} == {"softmax (epochs=4)", "softmax (epochs=2)"}

    def test_is_said_with_the_tasks_that_have_it(self, tmp_path: Path):
        after = f"{SECOND}labeled = 30\nmlp.width = 8\nbudget.epochs = 2\n"
        prepared = prepare(
            suite(tmp_path, ["softmax"], after=after), RunOptions(results=tmp_path / "r")
        )
        line, *_ = conditions(prepared.plan, {}, 0)
        assert line.startswith("Budget: 4 epochs of adam, ")
        assert "batches of 40 on two_moons (labeled=all) with mlp; 2 epochs of adam, " in line
        assert "batches of 40 on two_moons (labeled=30) with mlp. On node tasks " in line


class TestTrain:
    METHODS = '["softmax", { name = "softmax", train = "inner" }, "gll"]'

    def test_reaches_the_cells_and_their_keys(self, tmp_path: Path):
        cells = planned(on_karate(tmp_path, self.METHODS))
        assert [each.cell.train for each in cells] == ["all", "inner", "all"]
        assert len({each.key for each in cells}) == 3

    def test_is_named_and_explained_where_it_differs_within_a_task(self, tmp_path: Path):
        path = on_karate(tmp_path, self.METHODS)
        shown = {"softmax (train=all)", "softmax (train=inner)", "gll (train=all)"}
        assert {method for _, method in names(path)} == shown
        report = lapbench.run(path, results=tmp_path / "r", methods="softmax")
        line = "Rows with train = inner are trained without the classes of V_out."
        assert line in report.conditions

    def test_is_not_named_where_all_rows_have_it(self, tmp_path: Path):
        methods = '["softmax", "gll"]'
        for name in ("softmax", "gll"):
            methods = methods.replace(f'"{name}"', f'{{ name = "{name}", train = "inner" }}')
        path = on_karate(tmp_path, methods)
        assert {method for _, method in names(path)} == {"softmax", "gll"}

    def test_on_data_without_outer_samples_is_a_message_and_no_traceback(self, tmp_path: Path):
        path = suite(tmp_path, '["softmax", { name = "gll", train = "inner" }]')
        ran = CliRunner().invoke(main, ["run", str(path), "--results", str(tmp_path / "r")])
        assert isinstance(ran.exception, SystemExit), repr(ran.exception)
        assert ran.exit_code == 2
        assert 'train: received "inner"' in ran.output
        assert not (tmp_path / "r").exists()


class TestLabels:
    def test_are_the_names_of_their_rows_alone(self, tmp_path: Path):
        methods = (
            '["gll", { name = "gll", gll.tau = 0.5, label = "GLL, τ" }, '
            '{ name = "softmax", learning_rate = 0.1, label = "fast (softmax)" }]'
        )
        path = suite(tmp_path, methods)
        shown = {"gll (tau=0.0, learning_rate=0.001)", "GLL, τ", "fast (softmax)"}
        assert {method for _, method in names(path)} == shown
        assert set(lapbench.run(path, results=tmp_path / "r").board["method"]) == shown

    def test_do_not_change_keys(self, tmp_path: Path):
        (plain,) = planned(suite(tmp_path, ["gll"]))
        (labeled,) = planned(suite(tmp_path, '[{ name = "gll", label = "GLL" }]'))
        assert plain.key == labeled.key
        assert (plain.label, labeled.label) == ("", "GLL")

    def test_that_are_the_name_of_another_row_are_a_mistake(self, tmp_path: Path):
        methods = '["softmax", { name = "svm", label = "softmax" }]'
        with refused(SuiteError, "2 methods named 'softmax' on two_moons with mlp"):
            planned(suite(tmp_path, methods))

    def test_of_tasks_that_differ_in_their_budget_alone_are_a_mistake(self, tmp_path: Path):
        after = f"{SECOND}mlp.width = 8\nbudget.epochs = 2\n"
        with refused(SuiteError, "2 methods named 'A' on two_moons with mlp"):
            planned(suite(tmp_path, '[{ name = "gll", label = "A" }]', after=after))


def test_every_combination_of_a_grid_is_a_method(tmp_path: Path):
    grid = "{ gll = { tau = [0.0, 0.1], k = [5, 7] }, parseval = { beta = [0.1, 0.2] } }"
    path = suite(
        tmp_path, f'[{{ name = "gll + parseval", gll.base_per_class = 3, grid = {grid} }}]'
    )
    result = [
        (parts.head.parameters["tau"], parts.head.parameters["k"], term.parameters["beta"])
        for parts in (each.cell.method for each in planned(path))
        for term in parts.terms
    ]
    assert sorted(result) == [(t, k, b) for t in (0.0, 0.1) for k in (5, 7) for b in (0.1, 0.2)]
    assert {p.cell.method.head.parameters["base_per_class"] for p in planned(path)} == {3}
    assert len({each.key for each in planned(path)}) == 8


def test_every_combination_of_a_grid_of_a_task_is_a_task(tmp_path: Path):
    grid = "grid = { two_moons.noise = [0.1, 0.2], mlp.feature_size = [2, 3] }\n"
    result = {
        (each.cell.dataset.parameters["noise"], each.cell.backbone.parameters["feature_size"])
        for each in planned(suite(tmp_path, ["softmax"], task=grid))
    }
    assert result == {(noise, size) for noise in (0.1, 0.2) for size in (2, 3)}
