"""A report comes out correct whatever the records hold."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from make_finished_runs import finished
from make_pages import Parsed

import lapbench
from lapbench.cli.main import main
from lapbench.reports.leaderboard import readable

SCRIPT, LONG, TEMPLATE = "<script>alert('1')</script>", "x" * 10_000, "{{ 7 * 7 }}"
MARKUP = f'{SCRIPT}" onload="x</style>{TEMPLATE}|$x$'
LETTERS = f"a\x00b\x1b[31m\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd{LONG}"

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def results(tiny_suite: Path, tmp_path: Path) -> Path:
    return finished(tiny_suite, tmp_path / "r")


def change(results: Path, method: str, edit: Change, most: int = 9) -> None:
    """Edit some records of a method."""
    for path in sorted(results.glob("records/*.json")):
        record = json.loads(path.read_text())
        if record["cell"]["method"]["head"]["name"] == method and most:
            edit(record)
            path.write_text(json.dumps(record))
            most -= 1


def label(results: Path, method: str, text: str) -> None:
    """Name the row of a method."""
    plan = json.loads((results / "plan.json").read_text())
    for cell in plan["cells"]:
        if cell["cell"]["method"]["head"]["name"] == method:
            cell["label"] = text
    (results / "plan.json").write_text(json.dumps(plan))


def page(results: Path) -> Parsed:
    return Parsed((results / "index.html").read_text(encoding="utf-8"))


def set_accuracy(value: float) -> Change:
    def edit(record: dict[str, Any]) -> None:
        next(m for m in record["metrics"] if m["metric"] == "accuracy")["value"] = value

    return edit


def without_accuracy(record: dict[str, Any]) -> None:
    record["metrics"] = [m for m in record["metrics"] if m["metric"] != "accuracy"]


@pytest.mark.parametrize(
    ("edit", "records", "shown"),
    [
        *((set_accuracy(value), 2, "–") for value in (math.nan, math.inf, -math.inf)),
        (set_accuracy(math.nan), 1, "a number"),
        (without_accuracy, 2, "–"),
    ],
)
def test_accuracies_that_are_missing_or_not_finite_are_dashes(
    results: Path, edit: Change, records: int, shown: str
):
    change(results, "softmax", edit, records)
    table = readable(lapbench.write_report(results).board).set_index("method")["accuracy [%]"]
    assert (table["softmax"] == "–") == (shown == "–")
    assert table["gll"] != "–"
    assert "softmax" in page(results).text


@pytest.mark.parametrize("text", [MARKUP, LETTERS], ids=["markup", "letters"])
def test_texts_are_shown_and_never_run(results: Path, text: str):
    def edit(record: dict[str, Any]) -> None:
        record["warnings"] = [text]
        record["provenance"].update(commit=text, command=text)

    label(results, "softmax", text)
    change(results, "softmax", edit)
    change(results, "gll", lambda r: r.update(status="failed", reason=text, traceback=text))
    lapbench.write_report(results)
    shown = page(results)
    assert [tag for tag, _ in shown.elements].count("script") == 1
    assert not [name for _, attrs in shown.elements for name in attrs if name.startswith("on")]
    if text == MARKUP:
        assert SCRIPT in shown.text
        assert TEMPLATE in shown.text


def test_records_do_not_steer_the_terminal(results: Path):
    label(results, "softmax", "a\x1b[31m\u202eb")
    change(results, "gll", lambda r: r.update(status="failed", reason="\x1b]0;title\x07"))
    shown = CliRunner().invoke(main, ["report", str(results)]).output
    assert "[31m" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_every_markdown_table_keeps_its_columns(results: Path):
    label(results, "softmax", "a | b")
    lapbench.write_report(results)
    lines = (results / "leaderboard.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and r"a \| b" in line]
    assert len(rows) > 1
    assert not any("a | b" in line for line in lines if line.startswith("| "))


def test_nothing_finished_gives_a_page_that_says_what_to_do(results: Path):
    for path in results.glob("records/*.json"):
        path.unlink()
    assert len(lapbench.write_report(results).unfinished) == 4
    assert "lapbench run" in page(results).text


@pytest.mark.usefixtures("figures")
def test_a_figure_that_fails_costs_no_table(results: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: object) -> None:
        raise ZeroDivisionError("no room")

    monkeypatch.setattr("lapbench.reports.figures.accuracy.draw", fail)
    report = lapbench.write_report(results)
    assert any("figure accuracy" in line and "no room" in line for line in report.unfinished)
    assert (results / "index.html").is_file()
