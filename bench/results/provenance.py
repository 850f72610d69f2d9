"""Where a result comes from: code, machine, packages, time."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from lapbench.datasets.base.validated import validated

PACKAGES = ("lapbench", "torch", "numpy", "scipy", "scikit-learn", "pandas")


@validated
class Provenance:
    """Where a result comes from.

    Attributes:
        command: as given.
        started: time in UTC, ISO 8601.
        commit: of the lapbench checkout that runs or that the command was given in, with "+" if
            files differ from it; otherwise why it is not known.
        python: version.
        packages: versions of those that results depend on.
        platform: operating system.
        processor: model name.
        cores: number of logical CPU cores.
        accelerator: model name of the GPU that was used, if one was.

    """

    command: str
    started: str
    commit: str
    python: str
    packages: dict[str, str]
    platform: str
    processor: str
    cores: int | None
    accelerator: str | None


def provenance(device: str) -> Provenance:
    """Provenance of a result that is computed now on a device."""
    return Provenance(
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        python=platform.python_version(),
        packages=dict(_versions()),
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count(),
        accelerator=_accelerator(device),
    )


@cache
def commit() -> str:
    """Commit of lapbench's source, or why it is not known.

    It is read from the checkout that runs, else from the current folder if that is a checkout of
    lapbench, as under tox.
    """
    for folder in (Path(__file__).parents[2], Path.cwd()):
        project = folder / "pyproject.toml"
        if project.is_file() and 'name = "lapbench"' in project.read_text(encoding="utf-8"):
            try:
                changed = "+" if _git(folder, "status", "--porcelain") else ""
                return _git(folder, "rev-parse", "HEAD") + changed
            except (OSError, subprocess.SubprocessError) as error:
                return f"unknown ({type(error).__name__} from git)"
    return "unknown (not run from a checkout)"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


@cache
def _versions() -> dict[str, str]:
    return {package: metadata.version(package) for package in PACKAGES}


@cache
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
