"""Whatever a text is, the page shows it and stays whole."""

from dataclasses import replace

import pytest
from make_pages import DRAWING, empty, page, parse

from lapbench.reports.page.html import shorten
from lapbench.reports.page.page import Figure, render

MARKUP = (
    '<script>alert(1)</script>" onmouseover="alert(1)\'; alert(1)//</script></style></svg>'
    "{{ 7 * 7 }}{% raw %}&lt;b&gt; & <b>"
)
RIGHT_TO_LEFT = "\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd"


@pytest.mark.parametrize("text", [MARKUP, RIGHT_TO_LEFT], ids=["markup", "letters"])
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
            comparisons=shown.comparisons.assign(method=text, best=text),
            figures=[Figure("name", text, text, DRAWING)],
            records=shown.records.assign(method=text),
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
