"""The page shows what the records say, and nothing that is in it runs or leaves it."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from pages import DRAWING, empty, page

import lapbench
from lapbench.reports.page import Cell, Figure, Page, render
from lapbench.reports.page_html import inline, shorten
from lapbench.reports.published import COLUMNS, MEASURED

HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "'; alert(1)//",
    "</script></style></svg>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; & <b>",
    "\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd",
]
VOID = {"meta", "link", "input", "br", "hr", "img", "path", "use", "rect"}


class Parsed(HTMLParser):
    """Elements with attributes, texts by element, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name: str) -> list[str]:
        return [str(attrs[name]) for _, attrs in self.elements if name in attrs]


def parse(shown: Page) -> Parsed:
    return Parsed(render(shown))


def test_every_element_is_closed_and_every_name_is_given_once():
    parsed = parse(page())
    assert parsed.open == []
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))


def test_every_link_and_label_has_its_target():
    parsed = parse(page())
    targets = [link for link in parsed.attributes("href") if link.startswith("#")]
    assert {link.removeprefix("#") for link in targets} <= set(parsed.attributes("id"))
    assert set(parsed.attributes("aria-labelledby")) <= set(parsed.attributes("id"))


def test_nothing_comes_from_elsewhere():
    parsed = parse(page())
    links = [
        *parsed.attributes("href"),
        *parsed.attributes("src"),
        *parsed.attributes("xlink:href"),
    ]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_only_the_script_of_the_page_may_run():
    html = render(page())
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "default-src 'none'" in html
    parsed = Parsed(html)
    assert not [name for _, attrs in parsed.elements for name in attrs if name.startswith("on")]


def test_says_what_made_it_and_how_much_is_finished():
    text = parse(page()).text
    assert "6 of 8 cells ok , 2 failed" in text
    for said in ("lapbench run small --jobs 2", "9cf1aab", "Python 3.11", "a machine", "(6 cells)"):
        assert said in text
    assert "2 tasks, 4 methods, 1 kind of training, 1 repetition" in text


def test_nothing_finished_says_what_to_run():
    text = parse(empty()).text
    assert "No cell is finished yet" in text
    assert "Run lapbench run small" in text
    assert "0 of 8 cells ok" in text
    assert "No cell is finished" not in parse(page()).text


def test_no_cells_at_all_give_a_page():
    nothing = replace(empty(), cells=[], board=empty().board.head(0))
    assert "0 of 0 cells ok" in parse(nothing).text


def test_leaderboard_has_a_table_for_each_task_with_all_numbers_of_a_row():
    text = parse(page()).text
    assert "digits, mlp, natural training" in text
    assert "karate, mlp, natural training" in text
    row = text[text.index("karate, mlp, natural") :]
    row = row[row.index("gll 98.00") :][:200]
    assert row.startswith("gll 98.00 too few seeds 49.0 unattacked 90.0 70.0 – – – 1/1 exact 0.66")
    assert "worst case, ε = 0.1 [%]" in text
    assert "noise, 20 dB SNR [%]" in text


def test_failed_checks_are_counted_beside_the_worst_case():
    text = parse(page()).text
    assert "46.5 unattacked 90.0 70.0 1 failed" in text


def test_unfinished_rows_stand_in_the_leaderboard_with_their_reason():
    assert "0/1 1 failed: ValueError: no luck" in parse(page()).text


def test_checks_are_shown_with_the_evidence_of_a_failure():
    text = parse(page()).text
    assert "softmax digits fail 1/2 pass not measured" in text
    assert "fail 1/2 evidence 1" in text
    assert "whether transfer or black-box attacks break more" in text


def test_best_is_marked_and_said_in_words():
    board = page().board
    board.loc[board["method"] == "gll", "against_best"] = "best"
    board.loc[board["method"] == "softmax", "against_best"] = "not significantly worse (p = 0.2)"
    html = render(page(board=board))
    assert html.count('<b class="best"><bdi>98.00') == 2
    assert html.count('<b class="best"><bdi>93.00') == 2
    assert html.count("not significantly worse (p = 0.2)") == 2


def test_published_numbers_stand_beside_the_measured():
    row = {
        "task": "digits",
        "backbone": "mlp",
        "method": "gll",
        "training": "natural",
        "attack": "",
        "norm": "",
        "parameter": "",
        "level": 0.0,
        "steps": 0,
        "metric": "accuracy",
        "published": 0.9921,
        "source": "GLL, table 4",
        "remarks": "published: 100 epochs",
        "measured": 0.98,
        "ci_low": 0.97,
        "ci_high": 0.99,
        "repetitions": 5,
        "difference": -0.0121,
    }
    text = parse(page(published=pd.DataFrame([row], columns=[*COLUMNS, *MEASURED]))).text
    assert "gll 98.00 too few seeds 99.21" in text
    for said in ("GLL, table 4", "published: 100 epochs", "-1.21"):
        assert said in text
    assert "Published and measured" not in parse(page()).text


def test_a_cell_opens_to_its_reason_traceback_configuration_and_provenance():
    text = parse(page()).text
    opened = text[text.index("digits-svm") :]
    assert opened.startswith(
        "digits-svm reason ValueError: no luck traceback line 1 line 2 "
        "configuration configuration 4 provenance provenance 1"
    )


def test_equal_configurations_and_provenances_are_stored_once():
    html = render(page())
    assert html.count("gll: configured") == 1
    assert html.count("commit: 9cf1aab") == 1


def test_sentences_of_all_sections_are_there():
    text = parse(page()).text
    for said in (
        "a paragraph.",
        "Friedman: not made.",
        "Budget: 3 epochs.",
        "svm on digits: failed",
    ):
        assert said in text


def test_figures_have_a_text_alternative_and_names_of_their_own():
    html = render(page())
    assert html.count('role="img" aria-label="Accuracy. gll 98 %, softmax 93 %"') == 2
    for number in (0, 1):
        assert f'id="drawing-{number}-dot"' in html
        assert f'href="#drawing-{number}-dot"' in html
        assert f"url(#drawing-{number}-clip)" in html
    for gone in ("<?xml", "<metadata", "stroke-linejoin: round}", "<!--"):
        assert gone not in html


def test_drawings_take_ink_and_paper_of_the_page():
    drawing = inline(DRAWING, "label", "a-")
    assert "fill: var(--paper); stroke: var(--ink)" in drawing
    assert 'style="width:130pt"' in drawing


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_shown_as_they_are(text: str):
    shown = page()
    cells = [
        replace(cell, method=text, reason=text, key=text, details={text: text})
        for cell in shown.cells
    ]
    board = shown.board.assign(method=text, backbone=text)
    parsed = parse(
        page(
            title=text,
            cells=[replace(cell, backbone=text) for cell in cells],
            board=board.drop_duplicates(["task", "metric"]),
            conditions=[text],
            verdicts=[text],
            unfinished=[text],
            comparisons=pd.DataFrame({text: [text]}),
            figures=[Figure("name", text, text, DRAWING)],
            colors={text: "#000000"},
        )
    )
    names = {tag for tag, _ in parsed.elements}
    assert [tag for tag, _ in parsed.elements].count("script") == 1
    assert not {name for _, attrs in parsed.elements for name in attrs} & {"onmouseover"}
    assert "bdi" in names
    assert parsed.text.count(" ".join(text.split())) > 10
    assert parsed.open == []


def test_what_html_and_utf_8_do_not_know_is_replaced():
    html = render(page(title="a\x00b\x1bc\ud800d", conditions=["e\ufffff\x85g"]))
    assert "a\ufffdb\ufffdc\ufffdd" in html
    assert "e\ufffdf\ufffdg" in html
    html.encode()


def test_long_names_are_shortened_in_tables_and_whole_below():
    long = "x" * 10_000
    nothing = empty()
    cells = [replace(cell, task=long, configuration=long) for cell in nothing.cells[:4]]
    board = nothing.board.drop_duplicates("method").assign(task=long)
    html = render(replace(nothing, cells=cells, board=board))
    assert html.count(long) == 1
    assert len(html) < 100_000


def test_shortened_texts_keep_both_ends():
    assert shorten("abc", 3) == "abc"
    assert shorten("abcdefghij", 7) == "ab … ij"


def test_cells_without_numbers_have_dashes():
    html = render(
        page(
            cells=[
                Cell("digits", "mlp", m, "natural", 0, m, "skipped", "beneath it")
                for m in ("softmax", "gll", "wnll", "svm")
            ],
            board=page().board[page().board["task"] == "digits"],
        )
    )
    text = Parsed(html).text
    assert (
        "softmax , repetition 0 digits mlp natural 0 skipped – – softmax reason beneath it" in text
    )


@pytest.mark.usefixtures("plugins")
def test_page_of_a_run_holds_its_records(tiny_suite: Path, tmp_path: Path):
    text = tiny_suite.read_text()
    tiny_suite.write_text(text.replace('["softmax", "gll"]', '["softmax", "broken", "picky"]'))
    lapbench.run(tiny_suite, results=tmp_path / "r", seeds=1)
    text = Parsed((tmp_path / "r" / "index.html").read_text(encoding="utf-8")).text
    for said in (
        "1 of 3 cells ok",
        "1 failed: RuntimeError: no such | luck",
        "1 skipped: two_moons is beneath it",
        "Traceback (most recent call last):",
        "learning_rate: 0.001",
        "processor:",
    ):
        assert said in text
