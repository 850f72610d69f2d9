"""Tables and figures say what the records say."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import lapbench
from lapbench.cli.main import main
from lapbench.discovery import load, names
from lapbench.reporting.conditions import EXPLAINED
from lapbench.reports.figures.gll_fig3 import spread
from lapbench.reports.leaderboard import further_numbers, leaderboard, readable, to_csv, to_markdown
from lapbench.reports.results import Results
from lapbench.reports.statistics.comparisons import comparisons
from lapbench.results.folder import ResultsFolder
from lapbench.results.tidy import COLUMNS
from lapbench.suite.suite import load_suite
from lapbench.training.metrics import accuracy

ACCURACIES = {"softmax": [0.90, 0.91, 0.92, 0.93, 0.94], "gll": [0.95, 0.97, 0.96, 0.98, 0.99]}


def records(accuracies: dict[str, list[float | None]]) -> pd.DataFrame:
    """A tidy frame of one task; None is a failed cell."""
    rows = []
    for method, values in accuracies.items():
        for repetition, value in enumerate(values):
            cell = {
                "task": "digits",
                "backbone": "mlp",
                "method": method,
                "training": "natural",
                "gradient": "exact",
                "repetition": repetition,
                "key": f"{method}{repetition}",
                "status": "failed" if value is None else "ok",
                "reason": "ValueError: a | b\nc" if value is None else None,
                "attack": "",
            }
            if value is not None:
                cell |= {"metric": "accuracy", "split": "test", "value": value, "count": 100}
            rows.append(cell)
    return pd.DataFrame(rows, columns=COLUMNS)


def test_leaderboard_by_hand():
    """Mean 0.92; half the interval 2.776445·√(0.00025/5) = 0.019632."""
    board = leaderboard(records(ACCURACIES)).set_index("method")
    assert list(board.index) == ["gll", "softmax"]
    softmax = board.loc["softmax"]
    assert softmax["mean"] == pytest.approx(0.92)
    assert softmax["ci_high"] - 0.92 == pytest.approx(0.019632, abs=1e-6)
    assert (softmax["cells_ok"], softmax["cells_planned"]) == (5, 5)
    assert softmax["against_best"].startswith("worse")


def test_failed_cells_count_as_planned():
    board = leaderboard(records({"softmax": [0.9, None, 0.8], "gll": [None, None, None]}))
    table = readable(board).set_index("method")
    assert table.loc["softmax", "cells"] == "2/3"
    assert table.loc["gll", "cells"] == "0/3"
    assert table.loc["gll", "accuracy [%]"] == "–"


def test_methods_with_unfinished_cells_come_last():
    lucky: list[float | None] = [0.99, None, None, None, None]
    board = leaderboard(records({"lucky": lucky, "gone": [None] * 5, **ACCURACIES}))
    assert list(board["method"]) == ["gll", "softmax", "lucky", "gone"]


def test_lucky_survivors_are_neither_best_nor_compared():
    """As those of its repetitions that failed may be the unlucky ones."""
    lucky = [0.99, 0.99, 0.99, 0.99, 0.99, None]
    frame = records({"lucky": lucky, **ACCURACIES})
    table = readable(leaderboard(frame)).set_index("method")["against the best"]
    assert table["lucky"] == "unfinished (5 of 6 cells)"
    assert table["gll"] == "best"
    assert "**" not in to_markdown(leaderboard(frame)).splitlines()[-1]
    compared = comparisons(frame).set_index("method")
    assert compared.loc["lucky", "verdict"] == "unfinished (5 of 6 cells)"
    assert compared.loc["softmax", "best"] == "gll"


def test_step_ratio_is_the_median_over_epochs(tiny_suite: Path, tmp_path: Path):
    lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1, methods="gll")
    path = next((tmp_path / "r" / "records").iterdir())
    record = json.loads(path.read_text())
    record["timing"] |= {"step_seconds": [2, 9, 6], "softmax_step_seconds": [1, 3, 1]}
    path.write_text(json.dumps(record))
    frame = lapbench.load_records(tmp_path / "r").set_index("metric")
    assert frame.loc["step_ratio", "value"] == 3
    assert "3.00" in lapbench.write_report(tmp_path / "r").files[0].read_text()


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
    text = to_markdown(leaderboard(records({**ACCURACIES, "a | b": [0.9] * 5})))
    row = next(line for line in text.splitlines() if "gll" in line)
    assert "**97.00 ± 1.96**" in row
    assert r"a \| b" in text
    assert text.count("**") == 2


def test_further_numbers_name_their_split():
    frame = records({"gll": [0.9]})
    own = frame.assign(metric="outer_accuracy", split="outer", value=0.8)
    table = further_numbers(leaderboard(pd.concat([frame, own])))
    found = table[["metric", "split", "mean"]].to_numpy().tolist()
    assert found == [["outer_accuracy", "outer", "0.8000"]]


def test_metrics_of_single_methods_are_explained_where_they_are(tiny_suite: Path, tmp_path: Path):
    report = lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1, methods="gll")
    assert not any(line.startswith(tuple(EXPLAINED)) for line in report.conditions)
    path = next((tmp_path / "r" / "records").iterdir())
    record = json.loads(path.read_text())
    record["metrics"] += [{**record["metrics"][0], "metric": name} for name in EXPLAINED]
    path.write_text(json.dumps(record))
    lines = lapbench.write_report(tmp_path / "r").conditions
    assert {f"{name}: {text}." for name, text in EXPLAINED.items()} <= set(lines)


def test_csv_is_tidy():
    board = leaderboard(records(ACCURACIES))
    table = pd.read_csv(io.StringIO(to_csv(board)))
    expected = "task backbone method training gradient metric mean ci_low ci_high cells_ok "
    assert list(table.columns)[:11] == [*expected.split(), "cells_planned"]
    pd.testing.assert_frame_equal(table, board, check_dtype=False)


def test_empty_plan_gives_an_empty_leaderboard():
    assert leaderboard(records({})).empty


@pytest.mark.parametrize("name", names("figures"))
def test_figure_without_data_is_none(name: str):
    results = Results(records({"softmax": [None]}), lambda _: {}, lambda _: {})
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
    lapbench.run(tiny_suite, results=tmp_path / "results")
    return tmp_path / "results"


@pytest.mark.usefixtures("figures")
def test_report_can_be_written_again_elsewhere(results: Path, tmp_path: Path):
    again = CliRunner().invoke(main, ["report", str(results), "--output", str(tmp_path / "again")])
    assert again.exit_code == 0
    for name in ("leaderboard.md", "leaderboard.csv"):
        assert (tmp_path / "again" / name).read_text() == (results / name).read_text()
    figures = {path.name for path in (tmp_path / "again" / "figures").iterdir()}
    assert {"accuracy.png", "accuracy.svg", "gll-fig3.png", "gll-fig3.svg"} <= figures


def test_terminal_markdown_and_csv_agree(results: Path):
    printed = CliRunner().invoke(main, ["report", str(results)]).output
    markdown = (results / "leaderboard.md").read_text()
    board = pd.read_csv(results / "leaderboard.csv").set_index(["method", "metric"])
    for method in ("softmax", "gll"):
        row = board.loc[(method, "accuracy")]
        text = f"{100 * row['mean']:.2f} ± {100 * (row['ci_high'] - row['mean']):.2f}"
        assert text in printed
        assert text in markdown


def test_only_named_figures_are_drawn(results: Path, tmp_path: Path):
    arguments = ["report", str(results), "--output", str(tmp_path / "one"), "--figures", "gll-fig3"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert {path.stem for path in (tmp_path / "one" / "figures").iterdir()} == {"gll-fig3"}


@pytest.mark.parametrize(
    "given",
    [
        ["--figures", "accuracy", "gll-fig3"],
        ["--figures", "accuracy,gll-fig3"],
        ["--figures=accuracy", "--figures", "gll-fig3"],
    ],
)
def test_figures_are_named_in_any_of_the_usual_ways(
    results: Path, tmp_path: Path, given: list[str]
):
    for place, arguments in enumerate(([str(results), *given], [*given, str(results)])):
        output = tmp_path / str(place)
        shown = CliRunner().invoke(main, ["report", *arguments, "--output", str(output)])
        assert shown.exit_code == 0
        drawn = {path.stem for path in (output / "figures").iterdir()}
        assert drawn == {"accuracy", "gll-fig3"}


@pytest.mark.parametrize("given", [["--figures"], ["--figures", ""], ["--figures="]])
def test_figures_without_a_name_are_a_mistake(results: Path, given: list[str]):
    shown = CliRunner().invoke(main, ["report", str(results), *given])
    assert shown.exit_code == 2
    assert "--figures" in shown.output


def test_named_figure_without_data_says_what_it_needs(tiny_suite: Path, tmp_path: Path):
    lapbench.run(tiny_suite, results=tmp_path / "results", seeds=1, methods=["softmax"])
    arguments = ["report", str(tmp_path / "results"), "--figures", "gll-fig3"]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 2
    assert "lapbench run two-moons" in shown.output


def test_folder_that_holds_no_results_is_explained(tmp_path: Path):
    shown = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert shown.exit_code == 2
    assert str(tmp_path) in shown.output
    assert "plan.json" in shown.output


def test_names_show_the_parameters_that_differ(tiny_suite: Path, tmp_path: Path):
    methods = 'methods = [{name = "gll"}, {name = "gll", gll.tau = 0.5}]'
    tiny_suite.write_text(tiny_suite.read_text().replace('methods = ["softmax", "gll"]', methods))
    frame_names = set(lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1).board["method"])
    assert frame_names == {"gll (tau=0.0)", "gll (tau=0.5)"}


def test_names_show_learning_rates_where_they_differ(tiny_suite: Path, tmp_path: Path):
    methods = 'methods = ["softmax", {name = "gll", learning_rate = 0.1}]'
    tiny_suite.write_text(tiny_suite.read_text().replace('methods = ["softmax", "gll"]', methods))
    found = set(lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1).board["method"])
    assert found == {"softmax (learning_rate=0.001)", "gll (learning_rate=0.1)"}


def test_records_of_other_plans_are_counted_not_shown(tiny_suite: Path, tmp_path: Path):
    lapbench.run(tiny_suite, results=tmp_path / "r", seeds=2)
    report = lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1)
    assert set(report.board["cells_planned"]) == {1}
    assert any(
        line.startswith("2 record(s) in the folder belong to other") for line in report.conditions
    )
