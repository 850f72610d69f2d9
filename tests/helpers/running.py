"""Running the command, and comparing what it wrote."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def lapbench(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run(
        [command(), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def command() -> str:
    """Path of the installed command."""
    return str(Path(sys.executable).with_name("lapbench"))


def comparable(folder: Path) -> dict[str, dict[str, Any]]:
    """All records of a results folder, without what may differ between equal runs."""
    records = {}
    for path in (folder / "records").glob("[!.]*.json"):
        record = json.loads(path.read_text())
        del record["timing"], record["provenance"]
        records[path.stem] = record
    return records
