"""The guide lists the files that one cell enters, in the order of their first call."""

import re
import subprocess
import sys
from pathlib import Path

from make_import_graph import ROOT

SUITE = """
title = "one"
seeds = 1
methods = ["softmax"]

[[tasks]]
dataset = "two_moons"
backbone = "mlp"

[budget]
epochs = 2
"""


def listed() -> list[str]:
    """The files of the guide; each line has a folder and files of it."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = text.partition("up to its record:\n\n")[2].partition("\n\n")[0]
    lines = re.findall(r"^    (\S*/)? *(.+)$", block, re.MULTILINE)
    return [folder + name for folder, names in lines for name in names.split(", ")]


def test_guide_lists_the_files_that_one_cell_enters(tmp_path: Path):
    suite = tmp_path / "one.toml"
    suite.write_text(SUITE)
    script = ROOT / "tests" / "helpers" / "trace_cell.py"
    command = [sys.executable, str(script), str(suite), str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == listed()
