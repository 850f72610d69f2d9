"""The tables of the page show every number, verdict and cell."""

from dataclasses import replace

import pandas as pd
import pytest
from make_pages import Parsed, page, parse, plain

from lapbench.reports.page.page import PageCell, render
from lapbench.reports.page.tables import table_of_texts
from lapbench.reports.published import COLUMNS, MEASURED
from lapbench.reports.robustness import headline


def test_leaderboard_has_a_table_for_each_task_with_all_numbers_of_a_row():
    text = plain().text
    assert "digits, mlp, natural training" in text
    row = text[text.index("karate, mlp, natural training") :]
    row = row[row.index("gll 98.00") :]
    assert row.startswith("gll 98.00 too few seeds 49.0 unattacked 90.0 70.0 – – – 1/1 exact 0.66")
    for said in (
        "worst case, ε = 0.1 [%]",
        "noise, 20 dB SNR [%]",
        "46.5 unattacked 90.0 70.0 1 failed",
        "0/1 1 failed: ValueError: no luck",
    ):
        assert said in text


def test_a_check_counts_once_whatever_its_name():
    flags = page().flags.replace({"name": {"white_box_wins": "white box, in any step"}})
    shown = page()
    text = parse(replace(shown, flags=flags, headline=headline(shown.robustness, flags))).text
    assert "46.5 unattacked 90.0 70.0 1 failed" in text


def test_methods_of_another_training_have_a_table_of_their_own():
    shown = page()
    board = pd.concat([shown.board, shown.board.assign(training="pgd", mean=0.5)])
    cells = [*shown.cells, *(replace(cell, training="pgd") for cell in shown.cells)]
    text = parse(page(board=board, cells=cells)).text
    natural, _, pgd = text.partition("digits, mlp, pgd training")
    assert "digits, mlp, natural training" in natural
    assert "gll 98.00" in natural
    assert "gll 50.00" in pgd
    assert "gll 98.00" not in pgd.partition("natural training")[0]


@pytest.mark.parametrize(
    ("text", "is_number"),
    [
        ("98.00 ± 0.12", True),
        ("< 1", True),
        ("< 1e-12", True),
        ("−0.50 ± 0.12", True),
        ("+1.21", True),
        ("nan ± nan", True),
        ("inf", True),
        ("5/5", True),
        ("99.21, 99.4", True),
        ("4 (1 not finite)", True),
        ("0.1 normalised (0.03 of the input)", True),
        ("information", False),
        ("Nantes", False),
        ("2-norm", False),
        ("3 steps add nothing", False),
        ("pgd (3.1)", False),
    ],
)
def test_a_column_of_numbers_holds_only_whole_numbers(text: str, is_number: bool):
    table = table_of_texts("", pd.DataFrame({"method": ["gll", "svm"], "column": [text, "–"]}))
    assert table.columns[1].numeric == is_number


def test_checks_are_shown_with_the_evidence_of_a_failure():
    text = plain().text
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
    names = ("digits", "mlp", "gll", "natural", "", "", "", 0.0, "accuracy")
    numbers = (0.9921, "GLL, table 4", "published: 100 epochs", 0.98, 0.97, 0.99, 5, -0.0121)
    rows = pd.DataFrame([[*names, *numbers]], columns=[*COLUMNS, *MEASURED])
    text = parse(page(published=rows)).text
    assert "gll 98.00 too few seeds 99.21" in text
    for said in ("GLL, table 4", "published: 100 epochs", "-1.21"):
        assert said in text
    assert "Published and measured" not in plain().text


def test_a_cell_opens_to_its_reason_traceback_configuration_and_provenance():
    text = plain().text
    opened = text[text.index("digits-svm") :]
    assert opened.startswith(
        "digits-svm reason ValueError: no luck traceback line 1 line 2 "
        "configuration configuration 4 provenance provenance 1"
    )


def test_equal_configurations_and_provenances_are_stored_once():
    for said in ("gll: configured", "commit: 9cf1aab"):
        assert plain().text.count(said) == 1


def test_cells_without_numbers_have_dashes():
    html = render(
        page(
            cells=[
                PageCell("digits", "mlp", m, "natural", 0, m, "skipped", "beneath it")
                for m in ("softmax", "gll", "wnll", "svm")
            ],
            board=page().board[page().board["task"] == "digits"],
        )
    )
    text = Parsed(html).text
    assert (
        "softmax , repetition 0 digits mlp natural 0 skipped – – softmax reason beneath it" in text
    )
