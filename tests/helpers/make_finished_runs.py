"""Results of small suites, which run once in a session and are copied for every test."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import lapbench
from lapbench import discovery


def finished(suite: Path, target: Path, **options: Any) -> Path:
    """Write the results of a suite into a folder, as ``lapbench.run`` would."""
    figures = bool(discovery.names("figures"))
    return Path(shutil.copytree(_run(suite.stem, suite.read_text(), figures, **options), target))


@cache
def _run(name: str, text: str, figures: bool, **options: Any) -> Path:
    folder = Path(tempfile.mkdtemp("-with-figures" if figures else ""))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    suite = folder / f"{name}.toml"
    suite.write_text(text)
    lapbench.run(suite, results=folder / "results", **options)
    return folder / "results"
