"""Tables and figures say what the records say."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from make_finished_runs import finished
from make_frames import plain_frame
from make_suites import plan_of_suite

import lapbench
from lapbench.cli.main import main
from lapbench.discovery import load, names
from lapbench.reporting.conditions import EXPLAINED
from lapbench.reports.figures.gll_fig3 import spread
from lapbench.reports.leaderboard import further_numbers, leaderboard, readable, to_csv, to_markdown
from lapbench.reports.results import Results
from lapbench.reports.statistics.comparisons import comparisons
from lapbench.results.folder import ResultsFolder
from lapbench.results.tidy import tidy
from lapbench.suite.suite import load_suite
from lapbench.training.metrics import accuracy

ACCURACIES = {"softmax": [0.90, 0.91, 0.92, 0.93, 0.94], "gll": [0.95, 0.97, 0.96, 0.98, 0.99]}


def test_leaderboard_by_hand():
    """Mean 0.92; half the interval 2.776445·√(0.00025/5) = 0.019632."""
    board = leaderboard(plain_frame(**ACCURACIES)).set_index("method")
    assert list(board.index) == ["gll", "softmax"]
    softmax = board.loc["softmax"]
    assert softmax["mean"] == pytest.approx(0.92)
    assert softmax["ci_high"] - 0.92 == pytest.approx(0.019632, abs=1e-6)
    assert (softmax["cells_ok"], softmax["cells_planned"]) == (5, 5)
    assert softmax["against_best"].startswith("worse")


def test_failed_cells_count_as_planned():
    board = leaderboard(plain_frame(**{"softmax": [0.9, None, 0.8], "gll": [None, None, None]}))
    table = readable(board).set_index("method")
    assert table.loc["softmax", "cells"] == "2/3"
    assert table.loc["gll", "cells"] == "0/3"
    assert table.loc["gll", "accuracy [%]"] == "–"


def test_methods_with_unfinished_cells_come_last():
    lucky: list[float | None] = [0.99, None, None, None, None]
    board = leaderboard(plain_frame(**{"lucky": lucky, "gone": [None] * 5, **ACCURACIES}))
    assert list(board["method"]) == ["gll", "softmax", "lucky", "gone"]


def test_lucky_survivors_are_neither_best_nor_compared():
    """As those of its repetitions that failed may be the unlucky ones."""
    lucky = [0.99, 0.99, 0.99, 0.99, 0.99, None]
    frame = plain_frame(**{"lucky": lucky, **ACCURACIES})
    table = readable(leaderboard(frame)).set_index("method")["against the best"]
    assert table["lucky"] == "unfinished (5 of 6 cells)"
    assert table["gll"] == "best"
    assert "**" not in to_markdown(leaderboard(frame)).splitlines()[-1]
    compared = comparisons(frame).set_index("method")
    assert compared.loc["lucky", "verdict"] == "unfinished (5 of 6 cells)"
    assert compared.loc["softmax", "best"] == "gll"


def test_step_ratio_is_a_median_and_metrics_of_single_methods_are_explained(
    tiny_suite: Path, tmp_path: Path
):
    results = finished(tiny_suite, tmp_path / "r", seeds=1, methods="gll")
    lines = lapbench.write_report(results).conditions
    assert not any(line.startswith(tuple(EXPLAINED)) for line in lines)
    path = next((results / "records").iterdir())
    record = json.loads(path.read_text())
    record["timing"] |= {"step_seconds": [2, 9, 6], "softmax_step_seconds": [1, 3, 1]}
    record["metrics"] += [{**record["metrics"][0], "metric": name} for name in EXPLAINED]
    path.write_text(json.dumps(record))
    report = lapbench.write_report(results)
    assert report.records.set_index("metric").loc["step_ratio", "value"] == 3
    assert "3.00" in (results / "leaderboard.md").read_text()
    assert {f"{name}: {text}." for name, text in EXPLAINED.items()} <= set(report.conditions)


def test_validation_split_is_evaluated_where_a_suite_asks_for_it(tiny_suite: Path, tmp_path: Path):
    tiny_suite.write_text(tiny_suite.read_text() + '[evaluation]\nsplit = "validation"\n')
    lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1)
    folder = ResultsFolder(tmp_path / "r")
    for key in folder.list_keys():
        record = folder.read_record(key)
        first_step = [m for m in record.metrics if m.metric.startswith("first_step")]
        assert {m.split for m in first_step} == {"train"}
        evaluated = [m for m in record.metrics if m not in first_step]
        assert {(m.split, m.count) for m in evaluated} == {("validation", 20)}
        task = record.cell.load_task()
        predicted = lapbench.load_model(key, tmp_path / "r")(task.validation.x)
        assert record.metrics[0].value == accuracy(predicted, task.validation.y)


def test_the_sweep_of_the_default_suite_never_uses_the_test_split():
    assert load_suite("digits-sweep").evaluation.split == "validation"


def test_markdown_marks_the_best_and_escapes_bars():
    text = to_markdown(leaderboard(plain_frame(**{**ACCURACIES, "a | b": [0.9] * 5})))
    row = next(line for line in text.splitlines() if "gll" in line)
    assert "**97.00 ± 1.96**" in row
    assert r"a \| b" in text
    assert text.count("**") == 2


def test_further_numbers_name_their_split():
    frame = plain_frame(**{"gll": [0.9]})
    own = frame.assign(metric="outer_accuracy", split="outer", value=0.8)
    table = further_numbers(leaderboard(pd.concat([frame, own])))
    result = table[["metric", "split", "mean"]].to_numpy().tolist()
    assert result == [["outer_accuracy", "outer", "0.8000"]]


def test_csv_is_tidy():
    board = leaderboard(plain_frame(**ACCURACIES))
    table = pd.read_csv(io.StringIO(to_csv(board)))
    expected = "task backbone method training gradient metric mean ci_low ci_high cells_ok "
    assert list(table.columns)[:11] == [*expected.split(), "cells_planned"]
    pd.testing.assert_frame_equal(table, board, check_dtype=False)


def test_empty_plan_gives_an_empty_leaderboard():
    assert leaderboard(plain_frame(**{})).empty


@pytest.mark.parametrize("name", names("figures"))
def test_figure_without_data_is_none(name: str):
    results = Results(plain_frame(**{"softmax": [None]}), lambda _: {}, lambda _: {})
    assert load("figures", name).draw(results) is None


def test_spread_by_hand():
    """Two classes 4 apart, each of two points at distance 1 from their mean."""
    points = np.array([[0.0, 0], [2, 0], [4, 0], [6, 0]])
    assert spread(points, np.array([0, 0, 1, 1])) == pytest.approx(0.25)


@pytest.fixture
def results(tiny_suite: Path, tmp_path: Path) -> Path:
    """Results of a run that stores planar embeddings."""
    text = tiny_suite.read_text().replace("mlp.width = 8", "mlp.width = 8\nmlp.feature_size = 2")
    tiny_suite.write_text(text + "\n[evaluation]\nsnapshot_epochs = [0, 3]\n")
    return finished(tiny_suite, tmp_path / "results")


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def drawn(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "figures").iterdir()}


@pytest.mark.usefixtures("figures")
def test_report_can_be_written_again_elsewhere(results: Path, tmp_path: Path):
    again = tmp_path / "again"
    ran = report(results, "--output", again)
    assert ran.exit_code == 0
    for name in ("leaderboard.md", "leaderboard.csv"):
        assert (again / name).read_text() == (results / name).read_text()
    assert {"accuracy", "gll-fig3"} <= drawn(again)
    board = pd.read_csv(again / "leaderboard.csv").set_index(["method", "metric"])
    for method in ("softmax", "gll"):
        row = board.loc[(method, "accuracy")]
        text = f"{100 * row['mean']:.2f} ± {100 * (row['ci_high'] - row['mean']):.2f}"
        assert text in ran.output
        assert text in (again / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ([], ["--figures", "gll-fig3"], {"gll-fig3"}),
        ([], ["--figures", "accuracy", "gll-fig3"], {"accuracy", "gll-fig3"}),
        (["--figures", "accuracy,gll-fig3"], [], {"accuracy", "gll-fig3"}),
        (["--figures=accuracy", "--figures", "gll-fig3"], [], {"accuracy", "gll-fig3"}),
        (["--figures", "accuracy", "gll-fig3"], [], {"accuracy", "gll-fig3"}),
    ],
)
def test_figures_are_named_in_any_of_the_usual_ways(
    results: Path, tmp_path: Path, before: list[str], after: list[str], names: set[str]
):
    shown = report(*before, results, *after, "--output", tmp_path / "r")
    assert shown.exit_code == 0
    assert drawn(tmp_path / "r") == names


@pytest.mark.parametrize("given", [["--figures"], ["--figures", ""], ["--figures="]])
def test_figures_without_a_name_are_a_mistake(results: Path, given: list[str]):
    shown = report(results, *given)
    assert shown.exit_code == 2
    assert "--figures" in shown.output


def test_named_figure_without_data_says_what_to_run(tiny_suite: Path, tmp_path: Path):
    shown = report(finished(tiny_suite, tmp_path / "results"), "--figures", "gll-fig3")
    assert shown.exit_code == 2
    assert "lapbench run two-moons" in shown.output


def test_folder_that_holds_no_results_is_named(tmp_path: Path):
    shown = report(tmp_path)
    assert shown.exit_code == 2
    assert f"{tmp_path} " in shown.output
    assert "plan.json" in shown.output


@pytest.mark.parametrize(
    ("methods", "names"),
    [
        ('[{name = "gll"}, {name = "gll", gll.tau = 0.5}]', {"gll (tau=0.0)", "gll (tau=0.5)"}),
        (
            '["softmax", {name = "gll", learning_rate = 0.1}]',
            {"softmax (learning_rate=0.001)", "gll (learning_rate=0.1)"},
        ),
    ],
)
def test_names_show_parameters_and_learning_rates_that_differ(
    tiny_suite: Path, methods: str, names: set[str]
):
    tiny_suite.write_text(tiny_suite.read_text().replace('["softmax", "gll"]', methods))
    plan = plan_of_suite(load_suite(tiny_suite))
    assert set(leaderboard(tidy(plan, {}))["method"]) == names


def test_records_of_other_plans_are_counted_not_shown(tiny_suite: Path, tmp_path: Path):
    results = finished(tiny_suite, tmp_path / "r")
    report = lapbench.run(tiny_suite, results=results, seeds=1)
    assert set(report.board["cells_planned"]) == {1}
    assert any(line.startswith("2 record(s)") for line in report.conditions)
