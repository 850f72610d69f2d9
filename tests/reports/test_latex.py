"""Tables for papers say what the tables of lapbench say, to any LaTeX engine."""

import pandas as pd
import pytest

from lapbench.reports.latex import to_latex


def body(text: str) -> list[str]:
    """The rows of the one table in a LaTeX text, header first."""
    lines = text.split("\\toprule\n")[1].split("\\bottomrule")[0].splitlines()
    return [line.removesuffix(r" \\") for line in lines if line != "\\midrule"]


def table(text: str) -> pd.DataFrame:
    return pd.DataFrame({"method": [text], "n": ["1"]})


def test_rows_and_columns_are_those_of_the_table():
    rows = pd.DataFrame({"method": ["gll", "softmax"], "cells": ["5/5", "4/5"]})
    written = to_latex(rows, "Digits", "tab:digits")
    assert body(written) == ["method & cells", "gll & 5/5", "softmax & 4/5"]
    assert r"\caption{Digits}" in written
    assert r"\label{tab:digits}" in written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sparse_manifold", r"sparse\_manifold"),
        ("98.9 ± 0.8", r"98.9 $\pm$ 0.8"),
        ('< 1 | "x"', r"$<$ 1 \textbar{} ''x''"),
        ("\u202e שלום", "? ????"),
        ("a & b % $x$ # {c}", r"a \& b \% \$x\$ \# \{c\}"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a~b^c", r"a\textasciitilde{}b\textasciicircum{}c"),
        ("[0.1, 0.2]", "{[}0.1, 0.2{]}"),
        ("ε = 0.1", r"$\varepsilon$ = 0.1"),
        ("two\nlines", "two lines"),
    ],
)
def test_letters_with_a_meaning_are_escaped(text: str, expected: str):
    assert body(to_latex(table(text), "c", "l"))[1] == f"{expected} & 1"


def test_marked_rows_are_bold():
    rows = pd.DataFrame({"method": ["gll", "softmax"], "accuracy": ["98.9", "96.7"]})
    written = to_latex(rows, "c", "l", "accuracy", [True, False])
    assert body(written)[1:] == [r"gll & \textbf{98.9}", "softmax & 96.7"]


def test_headers_and_captions_are_escaped_too():
    written = to_latex(pd.DataFrame({"accuracy [%]": ["1"]}), "50 %", "l")
    assert body(written)[0] == r"accuracy {[}\%{]}"
    assert r"\caption{50 \%}" in written
