"""Tables for papers: LaTeX with booktabs."""

import re

import pandas as pd

_SYMBOLS = {
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
_BOLD = re.compile(r"\*\*(.+)\*\*")


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    r"""Return a table of texts as a LaTeX float, to be put in a paper with ``\input``.

    It needs the package booktabs alone. Letters that LaTeX gives a meaning are escaped, and the
    symbols of lapbench's tables are commands, so that any engine sets them; ``**text**`` is bold.

    Args:
        table: of texts.
        caption: below the table.
        label: for ``\ref``.

    """
    escaped = table.map(_escape).rename(columns=_escape)
    body = escaped.to_latex(index=False, escape=False, column_format="l" * table.shape[1])
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\small",
        body.rstrip(),
        rf"\caption{{{_escape(caption)}}}",
        rf"\label{{{label}}}",
        r"\end{table}",
    ]
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(lines) + "\n"


def _escape(text: object) -> str:
    """Return a text as LaTeX sets it, on one line."""
    plain = " ".join(str(text).split())
    marked = _BOLD.fullmatch(plain)
    escaped = "".join(_letter(letter) for letter in (marked.group(1) if marked else plain))
    return rf"\textbf{{{escaped}}}" if marked else escaped


def _letter(letter: str) -> str:
    if letter in "&%$#_{}":
        return f"\\{letter}"
    if letter in "[]":  # After the end of a row they would begin an argument.
        return f"{{{letter}}}"
    special = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    return special.get(letter) or _SYMBOLS.get(letter, letter)
