"""`lapbench data`: what it says of files that are there, missing or wrong, and how it ends."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from make_data_files import Server, listing, md5, serving, write, zipped

from lapbench.cli.main import main
from lapbench.datasets.files import planetoid
from lapbench.datasets.mnist import MNIST

TEXTS = {"one": b"1", "two": b"2"}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAPBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda _: None))
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that has a small MNIST."""
    with serving() as running:
        monkeypatch.setattr(MNIST, "data_files", zipped(TEXTS, "raw", running.url))
        for name, text in TEXTS.items():
            running.offer(f"{name}.gz", gzip.compress(text, mtime=0))
        yield running


def run(*arguments: str) -> Result:
    ran = CliRunner().invoke(main, ["data", *arguments])
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    assert "Traceback" not in ran.output
    return ran


def test_fetch_downloads_what_is_missing_and_says_what_is_there(server: Server, data: Path):
    write(data, {"raw/one": b"1"})
    ran = run("fetch", "mnist", "digits")
    assert ran.exit_code == 0
    assert "1 of 2 files are there already" in ran.output
    assert f"downloaded  {data / 'raw' / 'two.gz'}" in ran.output
    assert str(data / "raw" / "one") not in ran.output
    assert "digits: needs no files" in ran.output
    assert server.asked == ["two.gz"]
    again = run("fetch", "mnist")
    assert again.exit_code == 0
    assert "2 of 2 files are there already" in again.output
    assert server.asked == ["two.gz"]


def test_fetch_goes_on_after_a_failure_and_ends_with_1(server: Server, data: Path):
    del server.answers["one.gz"]
    ran = run("fetch", "cifar10", "mnist")
    assert ran.exit_code == 1
    for part in ("Error: cifar10: 1 of 1", "Error: tiny: 1 of 2", "404 Client Error"):
        assert part in ran.output
    assert listing(data) == {"raw/two.gz"}


def test_verify_is_content_with_the_published_content(server: Server, data: Path):
    write(data, {"raw/one": b"1", "raw/two.gz": gzip.compress(b"2", 1, mtime=9)})
    ran = run("verify", "mnist")
    assert ran.exit_code == 0
    assert ran.output.count("  right    ") == 2
    assert server.asked == []


def test_verify_names_wrong_files_with_both_hashes_and_the_remedy(server: Server, data: Path):
    write(data, {"raw/one": b"other", "raw/two": b"2"})
    ran = run("verify", "mnist")
    assert ran.exit_code == 1
    assert f"wrong    {data / 'raw' / 'one'} " in ran.output
    for part in (md5(b"other"), md5(b"1"), "lapbench data fetch"):
        assert part in ran.output
    assert f"right    {data / 'raw' / 'two'}" in ran.output
    assert server.asked == []


@pytest.mark.parametrize("name", ["mnist", "cora"])
def test_verify_names_missing_files_and_downloads_nothing(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(planetoid, "_download", lambda *_: pytest.fail("downloads"))
    ran = run("verify", name)
    assert ran.exit_code == 1
    assert ran.output.count("  missing  ") == {"mnist": 2, "cora": 8}[name]
    assert "lapbench data fetch " in ran.output
    assert server.asked == []


def test_citation_graphs_are_brought_by_their_library():
    ran = run("fetch", "cora")
    assert ran.exit_code == 1
    assert "Error: Cora: 8 of 8" in ran.output
    assert "tests download nothing" in ran.output


def test_where_names_folder_files_and_terms(server: Server, data: Path):
    write(data, {"raw/one.gz": b""})
    ran = run("where", "mnist", "npz")
    assert ran.exit_code == 0
    for part in (
        str(data),
        "LAPBENCH_DATA",
        f"there    {data / 'raw' / 'one.gz'}",
        f"missing  {data / 'raw' / 'two'}",
        "tiny: free",
        "npz: your own files",
    ):
        assert part in ran.output
    assert server.asked == []


def test_where_names_all_data_sets_and_makes_no_folder(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAPBENCH_DATA", str(data / "nowhere"))
    ran = run("where")
    assert ran.exit_code == 0
    for text in ("cifar10: A. Krizhevsky", "svhn: ", "CC BY-SA 3.0", "karate: needs no files"):
        assert text in ran.output
    assert listing(data) == set()


@pytest.mark.parametrize("command", ["fetch", "verify", "where"])
def test_unknown_names_are_refused_with_the_known_ones(command: str):
    ran = run(command, "mnst")
    assert ran.exit_code == 2
    assert "'mnst'" in ran.output
    assert "'mnist'" in ran.output


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_names_are_needed(command: str):
    assert run(command).exit_code == 2
