"""Distributions with entry points, as an author of plug-ins installs them."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


def make_distribution(
    site: Path, patch: pytest.MonkeyPatch, module: str, kinds: Mapping[str, Mapping[str, str]]
) -> None:
    """Offer attributes of a module by kind ("methods", …) and name, with a folder on the path."""
    information = site / f"{module}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [
        line
        for kind, names in kinds.items()
        for line in (
            f"[lapbench.{kind}]",
            *(f"{name} = {module}:{attribute}" for name, attribute in names.items()),
        )
    ]
    (information / "entry_points.txt").write_text("\n".join(lines))
    patch.syspath_prepend(site)
    patch.delitem(sys.modules, module, raising=False)
