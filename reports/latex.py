"""Tables for papers: LaTeX with booktabs."""

from collections.abc import Sequence

import pandas as pd

from lapbench.reports.leaderboard import readable
from lapbench.reports.statistics.tests import is_marked

_BOLD = "the best mean and all that is not significantly worse"
_SYMBOLS = {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    '"': "''",
    "·": r"$\cdot$",
    "√": r"$\sqrt{}$",
    "⁶": "$^6$",
    "±": r"$\pm$",
    "–": "--",
    "…": r"\ldots{}",
    "→": r"$\to$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "×": r"$\times$",
    "−": "$-$",
    "∞": r"$\infty$",
    "ℓ": r"$\ell$",
    "₂": "$_2$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
}
_LATIN_1 = 0x100
_SHARED = ["task", "backbone", "training"]
_LONG = 35
"""Letters from which on a column is broken into lines."""


def leaderboard_latex(board: pd.DataFrame, published: pd.DataFrame, title: str) -> str:
    """Leaderboard as LaTeX, a table for each task, backbone and kind of training.

    Args:
        board: of :func:`lapbench.reports.leaderboard.leaderboard`.
        published: numbers of papers, as for :func:`lapbench.reports.leaderboard.readable`.
        title: of the report, which begins the captions.

    """
    table = readable(board, published)
    marked = table["against the best"].map(is_marked)
    table = table.drop(columns="against the best")
    about = f"Bold: {_BOLD}."
    return _by_task(table, title, "tab:leaderboard", about, "accuracy [%]", marked)


def robustness_latex(headline: pd.DataFrame, title: str) -> str:
    """Worst case of every method as LaTeX, tables as those of the leaderboard.

    Args:
        headline: of :func:`lapbench.reports.robustness.headline`.
        title: of the report.

    """
    return _by_task(headline, title, "tab:robustness")


def _by_task(
    table: pd.DataFrame,
    title: str,
    label: str,
    about: str = "",
    column: str = "",
    bold: pd.Series | None = None,
) -> str:
    parts = []
    for number, (names, own) in enumerate(table.groupby(_SHARED, sort=False), 1):
        caption = f"{title}: {', '.join(map(str, names))} training. {about}"
        texts = own.drop(columns=_SHARED)
        marked = [] if bold is None else list(bold[own.index])
        parts.append(to_latex(texts, caption, f"{label}-{number}", column, marked))
    return "\n".join(parts)


def to_latex(
    table: pd.DataFrame, caption: str, label: str, column: str = "", bold: Sequence[bool] = ()
) -> str:
    r"""Table of texts as a LaTeX float as wide as the page, to be put in with ``\input``.

    It needs the package booktabs alone. Letters that LaTeX gives a meaning are escaped, and the
    symbols of lapbench's tables are commands; other letters beyond Latin 1 become "?", so that any
    engine sets it.

    Args:
        table: of texts.
        caption: below the table.
        label: for ``\ref``.
        column: in which texts are bold.
        bold: in which rows.

    """
    escaped = table.map(_escape)
    if column:
        marked = [
            rf"\textbf{{{text}}}" if strong else text
            for text, strong in zip(escaped[column], bold, strict=True)
        ]
        escaped = escaped.assign(**{column: marked})
    escaped = escaped.rename(columns=_escape)
    long = [table[name].map(len).max() > _LONG for name in table.columns]
    columns = "".join(r"p{0.19\textwidth}" if each else "l" for each in long)
    body = escaped.to_latex(index=False, escape=False, column_format=columns)
    lines = [
        r"\begin{table*}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{2.5pt}",
        body.rstrip(),
        rf"\caption{{{_escape(caption)}}}",
        rf"\label{{{label}}}",
        r"\end{table*}",
    ]
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(lines) + "\n"


def _escape(text: object) -> str:
    return "".join(map(_letter, " ".join(str(text).split())))


def _letter(letter: str) -> str:
    if letter in "&%$#_{}":
        return f"\\{letter}"
    if letter in "[]":  # After the end of a row they would begin an argument.
        return f"{{{letter}}}"
    known = _SYMBOLS.get(letter, letter)
    return known if letter in _SYMBOLS or ord(letter) < _LATIN_1 else "?"
