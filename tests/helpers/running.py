"""Running the command, and comparing what it wrote."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-P", str(Path(__file__).with_name("without_figures.py"))]
"""The command `lapbench`, whose reports have no figures."""


def lapbench(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def comparable(folder: Path) -> dict[str, dict[str, Any]]:
    """All records of a results folder, without what may differ between equal runs."""
    records = {}
    for path in (folder / "records").glob("[!.]*.json"):
        record = json.loads(path.read_text())
        del record["timing"], record["provenance"]
        records[path.stem] = record
    return records
