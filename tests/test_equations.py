"""`docs/equations.md` says where each equation of the papers is computed, and the code agrees."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ["bench", "methods", "datasets", "reports"]
PAPERS = "GLL|WNLL|Manifold|Smoothness|Bilevel"
TAG = re.compile(rf"(?:{PAPERS}) (?:eq\.|theorem|algorithm|section|definition|figure) [\w.]*\w")


def tags(path: Path) -> list[tuple[str, str]]:
    """Tags in the comments of a file, each with the function that it stands in."""
    text = path.read_text(encoding="utf-8")
    if TAG.search(text) is None:
        return []
    scopes = functions(ast.parse(text))
    comments = (
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    )
    return [
        (tag, innermost(scopes, comment.start[0]))
        for comment in comments
        for tag in TAG.findall(comment.string)
    ]


def functions(node: ast.AST, outer: str = "") -> list[tuple[range, str]]:
    """Lines and qualified name of every function and class, outer ones first."""
    scopes = []
    for child in ast.iter_child_nodes(node):
        name = outer
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            name = f"{outer}.{child.name}" if outer else child.name
            scopes.append((range(child.lineno, (child.end_lineno or 0) + 1), name))
        scopes += functions(child, name)
    return scopes


def innermost(scopes: list[tuple[range, str]], line: int) -> str:
    return next((name for lines, name in reversed(scopes) if line in lines), "")


def in_code() -> list[tuple[str, str, str]]:
    return sorted(
        (tag, path.relative_to(ROOT).as_posix(), function)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for tag, function in tags(path)
    )


def in_docs() -> list[tuple[str, str, str]]:
    lines = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip(" `") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return sorted(
        (f"{row[0]} {row[1]}", re.sub(r"^\[`?|`?\]\(.*", "", row[3]), row[4])
        for row in cells
        if len(row) == 5 and TAG.fullmatch(f"{row[0]} {row[1]}")
    )


def test_every_row_of_the_table_stands_in_the_code_where_it_says():
    assert in_docs() == in_code()


@pytest.mark.parametrize("paper", PAPERS.split("|"))
def test_every_paper_has_equations(paper: str):
    assert any(tag.startswith(paper) for tag, _, _ in in_docs())


def test_a_tag_that_moves_to_another_function_is_seen(tmp_path: Path):
    path = tmp_path / "moved.py"
    before = "def one():\n    1  # GLL eq. 24\nclass Two:\n    def three(self):\n        3\n"
    path.write_text(before, encoding="utf-8")
    assert tags(path) == [("GLL eq. 24", "one")]
    path.write_text(
        before.replace("  # GLL eq. 24", "").replace(" 3", " 3  # GLL eq. 24"), encoding="utf-8"
    )
    assert tags(path) == [("GLL eq. 24", "Two.three")]
