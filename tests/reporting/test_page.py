"""The page holds together, says what made it, and needs nothing else."""

import base64
import hashlib
import re
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from make_pages import DRAWING, Parsed, empty, page, parse, plain

import lapbench
from lapbench.reporting.report import write_report
from lapbench.reports.page.html import inline
from lapbench.reports.page.page import render
from lapbench.results.provenance import commit


def test_elements_are_closed_names_unique_and_links_lead_into_the_page():
    parsed = plain()
    assert parsed.open == []
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))
    links = [link for name in ("href", "src", "xlink:href") for link in parsed.attributes(name)]
    assert all(link.startswith(("#", "data:")) for link in links)
    targets = {link[1:] for link in parsed.attributes("href") if link.startswith("#")}
    assert targets <= set(ids)
    assert set(parsed.attributes("aria-labelledby")) <= set(ids)


def test_only_the_script_of_the_page_may_run():
    html = render(page())
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "default-src 'none'" in html
    parsed = Parsed(html)
    assert not [name for _, attrs in parsed.elements for name in attrs if name.startswith("on")]


def test_says_what_made_it_how_much_is_finished_and_all_sentences():
    text = plain().text
    assert "6 of 8 cells ok , 2 failed" in text
    said = ["lapbench run small --jobs 2", "9cf1aab", "Python 3.11", "a machine", "(6 cells)"]
    said += ["a paragraph.", "Friedman: not made.", "Budget: 3 epochs.", "svm on digits: failed"]
    assert [each for each in said if each not in text] == []
    assert "page by lapbench 0.1.0, commit 4b7e02d" in text
    assert "2 tasks, 4 methods, 1 kind of training, 1 repetition" in text


def test_nothing_finished_says_what_to_run():
    text = parse(empty()).text
    assert "No cell is finished yet" in text
    assert "Run lapbench run small --seeds 1 --results results/small (a suite of" in text
    assert "0 of 8 cells ok" in text
    assert "No cell is finished" not in plain().text


def test_no_cells_at_all_give_a_page():
    nothing = replace(empty(), cells=[], board=empty().board.head(0))
    assert "0 of 0 cells ok" in parse(nothing).text


def test_what_does_not_apply_is_no_failure_and_is_closed():
    html = render(page())
    failures, _, others = html.partition("<details><summary>Does not apply: 1</summary>")
    assert "<details open><summary>Without a result: 1</summary>" in failures
    assert "attack bpda on softmax: skipped" in others
    assert "attack bpda" not in failures
    assert "Does not apply" not in render(page(inapplicable=[]))


def test_checks_come_before_the_paragraphs_on_robustness():
    text = plain().text
    assert text.index("Checks for hidden gradients") < text.index("What the numbers support")


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


def test_page_of_a_part_says_how_to_run_the_rest_of_each_folder(tiny_suite: Path, tmp_path: Path):
    suite = tiny_suite.rename(tmp_path / "a + b.toml")
    monday, tuesday = tmp_path / "on monday", tmp_path / "tuesday"
    lapbench.run(suite, results=monday, seeds=1, methods="softmax")
    shutil.copytree(monday, tuesday)
    text = Parsed(write_report([monday, tuesday], tmp_path).files[0].read_text("utf-8")).text
    run = "lapbench run 'a + b' --seeds 1 --results"
    assert f"To continue: {run} '{monday}' , {run} {tuesday} (a suite of your own" in text
    assert f"page by lapbench {version('lapbench')}, commit {commit()[:40]}" in text
