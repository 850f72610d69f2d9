"""A report comes out correct whatever the records hold."""

import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lapbench
from lapbench.cli.main import main
from lapbench.reports.leaderboard import readable

SCRIPT = "<script>alert('1')</script>"
LONG = "x" * 10_000
RIGHT_TO_LEFT = "\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd"
TEMPLATE = "{{ 7 * 7 }}"
HOSTILE = [
    SCRIPT,
    LONG,
    RIGHT_TO_LEFT,
    "a\x00b\x1b[31m",
    '" onload="x',
    "</style>",
    TEMPLATE,
    "|$x$",
]

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def results(tiny_suite: Path, tmp_path: Path) -> Path:
    lapbench.run(tiny_suite, results=tmp_path / "r")
    return tmp_path / "r"


def change(results: Path, method: str, edit: Change) -> None:
    """Edit the records of a method."""
    for path in results.glob("records/*.json"):
        record = json.loads(path.read_text())
        if record["cell"]["method"]["head"]["name"] == method:
            edit(record)
            path.write_text(json.dumps(record))


def label(results: Path, method: str, text: str) -> None:
    """Name the row of a method."""
    plan = json.loads((results / "plan.json").read_text())
    for cell in plan["cells"]:
        if cell["cell"]["method"]["head"]["name"] == method:
            cell["label"] = text
    (results / "plan.json").write_text(json.dumps(plan))


class Tags(HTMLParser):
    """Counts what a browser would run, and collects what it would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts = 0
        self.handlers: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(results: Path) -> Tags:
    parser = Tags()
    parser.feed((results / "index.html").read_text(encoding="utf-8"))
    return parser


def set_accuracy(value: float) -> Change:
    def edit(record: dict[str, Any]) -> None:
        next(m for m in record["metrics"] if m["metric"] == "accuracy")["value"] = value

    return edit


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_shown_as_missing(results: Path, value: float):
    change(results, "softmax", set_accuracy(value))
    table = readable(lapbench.write_report(results).board).set_index("method")
    assert table.loc["softmax", "accuracy [%]"] == "–"
    assert table.loc["gll", "accuracy [%]"] != "–"


def test_one_number_that_is_not_finite_leaves_the_others(results: Path):
    path = min(results.glob("records/*.json"))
    record = json.loads(path.read_text())
    set_accuracy(math.nan)(record)
    path.write_text(json.dumps(record))
    assert "–" not in set(readable(lapbench.write_report(results).board)["accuracy [%]"])


def test_records_without_accuracy_have_a_row(results: Path):
    def edit(record: dict[str, Any]) -> None:
        record["metrics"] = [m for m in record["metrics"] if m["metric"] != "accuracy"]

    change(results, "gll", edit)
    table = readable(lapbench.write_report(results).board).set_index("method")
    assert table.loc["gll", "accuracy [%]"] == "–"
    assert "gll" in " ".join(page(results).text)


@pytest.mark.parametrize("text", HOSTILE, ids=[f"text{i}" for i in range(len(HOSTILE))])
def test_texts_are_shown_and_never_run(results: Path, text: str):
    expected = page(results).scripts

    def edit(record: dict[str, Any]) -> None:
        record["warnings"] = [text]
        record["provenance"]["commit"] = text
        record["provenance"]["command"] = text

    label(results, "softmax", text)
    change(results, "softmax", edit)
    change(results, "gll", lambda r: r.update(status="failed", reason=text, traceback=text))
    lapbench.write_report(results)
    shown = page(results)
    assert shown.scripts == expected
    assert shown.handlers == []
    if text == TEMPLATE:
        assert TEMPLATE in "".join(shown.text)


def test_records_do_not_steer_the_terminal(results: Path):
    label(results, "softmax", "a\x1b[31m\u202eb")
    change(results, "gll", lambda r: r.update(status="failed", reason="\x1b]0;title\x07"))
    shown = CliRunner().invoke(main, ["report", str(results)]).output
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
    report = lapbench.write_report(results)
    assert len(report.unfinished) == 4
    assert "lapbench run" in " ".join(page(results).text)


@pytest.mark.usefixtures("figures")
def test_a_figure_that_fails_costs_no_table(results: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: object) -> None:
        raise ZeroDivisionError("no room")

    monkeypatch.setattr("lapbench.reports.figures.accuracy.draw", fail)
    report = lapbench.write_report(results)
    assert any("figure accuracy" in line and "no room" in line for line in report.unfinished)
    assert (results / "index.html").is_file()
