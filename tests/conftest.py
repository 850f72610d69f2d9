"""Fixtures: a small suite, and plug-ins that misbehave."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import torch
from make_distribution import make_distribution

from lapbench import discovery
from lapbench.datasets.files import planetoid

TINY_SUITE = """
title = "tiny"
seeds = 2
methods = ["softmax", "gll"]

[[tasks]]
dataset = "two_moons"
backbone = "mlp"
two_moons.samples = 160
mlp.width = 8

[budget]
epochs = 3
batch_size = 40
"""

PLUGIN = '''
"""Methods that misbehave."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lapbench.methods.softmax import Softmax
from lapbench.plugin import Head


class _Softmax(Head):
    gradient_kind: ClassVar = "autograd"

    def build(self, backbone, task):
        return Softmax().build(backbone, task)


@dataclass(frozen=True)
class Broken(_Softmax):
    """Raises while it is built."""

    def build(self, backbone, task):
        raise RuntimeError("no such | luck")


@dataclass(frozen=True)
class Exploding(_Softmax):
    """Its loss becomes NaN."""

    def build(self, backbone, task):
        model = super().build(backbone, task)
        loss = model.loss
        model.loss = lambda x, y: loss(x, y) * float("nan")
        return model


@dataclass(frozen=True)
class Noisy(_Softmax):
    """Draws from torch's global generator in training."""

    def build(self, backbone, task):
        model = super().build(backbone, task)
        loss = model.loss
        model.loss = lambda x, y: loss(x + torch.randn_like(x), y)
        return model


@dataclass(frozen=True)
class Picky(_Softmax):
    """Applies to nothing."""

    def skip(self, task):
        return f"{task.name} is beneath it"
'''


NAMES = discovery.names


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests of processes, which take longest: no worker waits for one at the end."""
    items.sort(key=lambda item: item.path.parent.name not in {"running", "results", "robustness"})


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """As in every cell: with more threads sums are taken in another order from run to run."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _cells_run_here() -> Iterator[None]:
    """In the process of the test, where what it patched holds; other tests ask for processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPBENCH_JOBS", "0")
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_figures() -> Iterator[None]:
    """Reports of runs have no figures, which take long, but where a test asks for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "names", lambda kind: NAMES(kind) if kind != "figures" else [])
        yield


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have figures."""
    monkeypatch.setattr(discovery, "names", NAMES)


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are not there stay missing, and `load_task` skips the test."""

    def refuse(*_: object) -> None:
        raise OSError("tests download nothing")

    def only_from_here(url: str, **rest: Any) -> requests.Response:
        if urlsplit(url).hostname != "127.0.0.1":
            refuse()
        return get(url, **rest)

    get = requests.get
    monkeypatch.setattr(planetoid, "_download", refuse)
    monkeypatch.setattr(requests, "get", only_from_here)


@pytest.fixture
def tiny_suite(tmp_path: Path) -> Path:
    """A suite of four cells that runs in seconds."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE)
    return path


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the methods broken, exploding, noisy and picky."""
    install_plugins(tmp_path / "site", monkeypatch)


def install_plugins(site: Path, patch: pytest.MonkeyPatch) -> None:
    """Install a distribution with the methods broken, exploding, noisy and picky."""
    site.mkdir()
    (site / "misbehaving.py").write_text(PLUGIN)
    names = ("broken", "exploding", "noisy", "picky")
    kinds = {"methods": {name: name.capitalize() for name in names}}
    make_distribution(site, patch, "misbehaving", kinds)
