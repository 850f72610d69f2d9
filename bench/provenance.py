"""Where a result comes from: code, machine, packages, time."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("lapbench", "torch", "numpy", "scipy", "scikit-learn", "pandas")


def provenance(device: str) -> dict[str, Any]:
    """Return versions, commit, machine and command, for a record."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_state(Path.cwd()),
        "python": platform.python_version(),
        "packages": versions(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": _accelerator(device),
    }


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that results depend on."""
    return {package: metadata.version(package) for package in PACKAGES}


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit and whether files differ from it, or why they are not known."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError) as error:
        return {"commit": None, "dirty": None, "why": f"git: {type(error).__name__}"}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model n"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _accelerator(device: str) -> str | None:
    if device == "cpu":
        return None
    import torch

    return torch.cuda.get_device_name(device)
