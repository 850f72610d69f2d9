"""Downloads: whole and right or not at all, whatever the server does, and in a clean folder."""

import gzip
import pickle
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from expect_refusal import refused
from make_data_files import Server, archive, listing, md5, packed, plain, send, serving, zipped
from make_data_files import write as write_files

from lapbench.datasets.files import download
from lapbench.datasets.files.download import contents, fetch
from lapbench.datasets.files.files import DataError, MissingDataError

CONTENT = bytes(range(256)) * 400
NAME = "folder/file.bin"
PAIR = {"first": b"1", "second": b"2"}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, with a file of somebody else's; servers are given up after 0.3 seconds."""
    folder = tmp_path / "data"
    write_files(folder, {"mine.txt": b"mine"})
    monkeypatch.setenv("LAPBENCH_DATA", str(folder))
    monkeypatch.setattr(download, "_PATIENCE", 0.3)
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda _: None))
    return folder


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def silent(handler: BaseHTTPRequestHandler, server: Server) -> None:
    send(handler, CONTENT[:1000], len(CONTENT))
    server.over.wait(30)


def redirect(handler: BaseHTTPRequestHandler, place: str) -> None:
    handler.send_response(302)
    handler.send_header("Location", place)
    handler.end_headers()


BAD = {
    "cut off": (lambda handler, _: send(handler, CONTENT[:1000], len(CONTENT)), "IncompleteRead"),
    "short": (lambda handler, _: send(handler, CONTENT[:1000]), "hash"),
    "corrupted": (lambda handler, _: send(handler, CONTENT[:-1] + b"\0"), "hash"),
    "missing": (lambda handler, _: handler.send_error(404), "404"),
    "silent": (silent, "timed out"),
    "circling": (lambda handler, _: redirect(handler, handler.path), "redirects"),
}


@pytest.mark.parametrize("case", BAD)
class TestABadServer:
    def test_is_an_error_that_says_what_to_put_where_or_left_for_the_next_mirror(
        self, server: Server, data: Path, case: str
    ):
        bad, reason = BAD[case]
        server.answers["one"] = lambda handler: bad(handler, server)
        named = (f"{server.url}one:", reason, f"{data / NAME} (MD5 sum {md5(CONTENT)})")
        with refused(MissingDataError, *named, f"LAPBENCH_DATA (now {data})"):
            fetch(plain(NAME, CONTENT, f"{server.url}one"))
        assert listing(data) == {"mine.txt"}
        with serving() as other:
            good = other.offer("two", CONTENT)
            assert contents(plain(NAME, CONTENT, f"{server.url}one", good)) == [CONTENT]
            assert other.asked == ["two"]
        assert listing(data) == {"mine.txt", NAME}

    def test_is_tried_again_which_may_work(self, server: Server, data: Path, case: str):
        def better(handler: BaseHTTPRequestHandler) -> None:
            first = len(server.asked) <= (31 if case == "circling" else 1)
            BAD[case][0](handler, server) if first else send(handler, CONTENT)

        server.answers["one"] = better
        assert contents(plain(NAME, CONTENT, f"{server.url}one")) == [CONTENT]
        assert listing(data) == {"mine.txt", NAME}


def test_redirections_are_followed_and_compression_is_not_asked_for(server: Server, data: Path):
    headers = []

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        headers.append(handler.headers["Accept-Encoding"])
        redirect(handler, server.offer("there", CONTENT))

    server.answers["here"] = elsewhere
    assert fetch(plain(NAME, CONTENT, f"{server.url}here")) == [data / NAME]
    assert (data / NAME).read_bytes() == CONTENT
    assert (data / NAME).stat().st_mode == (data / "mine.txt").stat().st_mode
    assert server.asked == ["here", "there"]
    assert headers == ["identity"]
    assert listing(data) == {"mine.txt", NAME}


def test_interruption_leaves_nothing(server: Server, data: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> Iterator[bytes]:
        yield CONTENT[:1000]
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(plain(NAME, CONTENT, server.offer("one", CONTENT)))
    assert listing(data) == {"mine.txt"}


def test_existing_files_are_kept_and_not_downloaded(server: Server, data: Path):
    texts = {name: name.encode() for name in ("first", "second", "third")}
    for name, text in texts.items():
        server.offer(f"{name}.gz", gzip.compress(text, mtime=0))
    own = gzip.compress(texts["second"], 1, mtime=9)
    write_files(data, {"raw/first": texts["first"], "raw/second.gz": own})
    assert contents(zipped(texts, "raw", server.url)) == list(texts.values())
    assert server.asked == ["third.gz"]
    assert (data / "raw/second.gz").read_bytes() == own
    assert listing(data) == {"mine.txt", "raw/first", "raw/second.gz", "raw/third.gz"}


def test_a_wrong_file_is_refused_with_both_hashes_and_kept(server: Server, data: Path):
    write_files(data, {NAME: b"other"})
    hashes = (md5(b"other"), md5(CONTENT))
    with refused(DataError, f"{data / NAME}", *hashes, "lapbench data fetch tiny"):
        contents(plain(NAME, CONTENT, server.offer("one", CONTENT)))
    assert server.asked == []
    assert (data / NAME).read_bytes() == b"other"


@pytest.mark.parametrize(
    "content",
    [b"other", gzip.compress(b"other", mtime=0)[:-9], b"\x1f\x8b\x08" * 9],
    ids=["plain", "cut off", "no gzip"],
)
def test_a_damaged_gzip_file_is_refused(data: Path, content: bytes):
    write_files(data, {"raw/text.gz": content})
    with refused(DataError, "text.gz"):
        contents(zipped({"text": b"text"}, "raw"))


def test_one_file_failing_does_not_keep_others_from_coming(server: Server, data: Path):
    data_files = zipped(PAIR, "raw", server.url)
    server.offer("second.gz", gzip.compress(b"2", mtime=0))
    with refused(MissingDataError, "tiny", "1 of 2"):
        fetch(data_files)
    assert listing(data) == {"mine.txt", "raw/second.gz"}
    server.offer("first.gz", gzip.compress(b"1", mtime=0))
    assert contents(data_files) == [b"1", b"2"]


def test_a_host_that_does_not_answer_is_tried_for_one_file_only(server: Server):
    for name in PAIR:
        server.answers[f"{name}.gz"] = lambda handler: silent(handler, server)
    with refused(MissingDataError, "second.gz: not tried again"):
        fetch(zipped(PAIR, "raw", server.url))
    assert server.asked == ["first.gz", "first.gz"]


def test_without_a_network_every_file_is_named_with_its_addresses(data: Path):
    with serving() as server:
        closed = server.url
    data_files = zipped(PAIR, "raw", closed)
    named = ["tiny: 2 of 2 files", "refused", "lapbench data fetch tiny"]
    for each in data_files.downloads:
        named += [f"{data / each.name} (MD5 sum {each.md5})", each.mirrors[0]]
        named += [f"{each.files[0].places[0]} below {data}"]
    with refused(MissingDataError, *named):
        contents(data_files)
    assert listing(data) == {"mine.txt"}


def test_two_at_once_do_not_harm_each_other(server: Server, data: Path):
    both = threading.Barrier(2, timeout=10)

    def together(handler: BaseHTTPRequestHandler) -> None:
        both.wait()
        send(handler, CONTENT)

    server.answers["one"] = together
    data_files = plain(NAME, CONTENT, f"{server.url}one")
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(contents, [data_files, data_files])) == [[CONTENT], [CONTENT]]
    assert listing(data) == {"mine.txt", NAME}


def test_tests_reach_no_other_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests.Session, "send", lambda *_, **__: pytest.fail("is online"))
    with refused(MissingDataError, "tests download nothing"):
        fetch(plain(NAME, CONTENT, "https://example.org/file"))


MEMBERS = {"tiny/one": b"1", "tiny/two": b"2"}
GOOD = archive(MEMBERS)


class TestArchives:
    def test_give_the_expected_members_alone(self, server: Server, data: Path):
        content = archive({**MEMBERS, "tiny/readme.html": b"hello", "three": b"3"})
        offered = packed(content, MEMBERS, server.offer("tiny.tar.gz", content))
        assert contents(offered) == [b"1", b"2"]
        assert listing(data) == {"mine.txt", *MEMBERS}

    def test_of_the_user_are_used_in_place_and_replace_no_file(self, server: Server, data: Path):
        write_files(data, {"tiny.tar.gz": GOOD, "tiny/one": b"own"})
        fetch(packed(GOOD, MEMBERS, f"{server.url}one"))
        assert server.asked == []
        assert listing(data) == {"mine.txt", "tiny.tar.gz", *MEMBERS}
        assert (data / "tiny/one").read_bytes() == b"own"
        assert (data / "tiny/two").read_bytes() == b"2"

    def test_are_not_opened_if_their_hash_is_wrong(
        self, server: Server, data: Path, monkeypatch: pytest.MonkeyPatch
    ):
        bad = archive({**MEMBERS, "../evil": b"evil"})
        monkeypatch.setattr(tarfile, "open", lambda *_: pytest.fail("opens it"))
        with refused(MissingDataError, "hash"):
            fetch(packed(GOOD, MEMBERS, server.offer("one", bad)))
        assert listing(data) == {"mine.txt"}
        write_files(data, {"tiny.tar.gz": bad})
        with refused(DataError, md5(bad), md5(GOOD)):
            fetch(packed(GOOD, MEMBERS))
        assert listing(data) == {"mine.txt", "tiny.tar.gz"}

    @pytest.mark.parametrize(
        ("name", "kind", "target"),
        [
            ("../evil", tarfile.REGTYPE, ""),
            ("tiny/../../evil", tarfile.REGTYPE, ""),
            ("{outside}/evil", tarfile.REGTYPE, ""),
            ("tiny/one", tarfile.SYMTYPE, "../../evil"),
            ("tiny/one", tarfile.LNKTYPE, "tiny/two"),
            ("tiny", tarfile.SYMTYPE, "{outside}"),
            ("tiny/pipe", tarfile.FIFOTYPE, ""),
        ],
    )
    def test_that_lead_out_of_the_folder_are_refused_whole(
        self, server: Server, data: Path, name: str, kind: bytes, target: str
    ):
        outside = data.parent
        member = tarfile.TarInfo(name.format(outside=outside))
        member.type, member.linkname = kind, target.format(outside=outside)
        content = archive(MEMBERS, member)
        with refused(DataError, "link", repr(member.name)):
            fetch(packed(content, MEMBERS, server.offer("one", content)))
        assert listing(outside) == {"data/mine.txt"}

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (archive({"tiny/one": b"1" * 9999})[:-30], "archive"),
            (archive({"tiny/one": b"1"}), "tiny/two"),
        ],
        ids=["cut off", "lacks a member"],
    )
    def test_that_are_cut_off_or_lack_a_member_leave_nothing(
        self, server: Server, data: Path, content: bytes, named: str
    ):
        with refused(DataError, named):
            fetch(packed(content, MEMBERS, server.offer("one", content)))
        assert listing(data) == {"mine.txt"}


def test_a_pickle_with_a_wrong_hash_is_not_opened(data: Path, monkeypatch: pytest.MonkeyPatch):
    from lapbench.datasets.cifar10 import CIFAR10

    monkeypatch.setattr(pickle, "loads", lambda *_, **__: pytest.fail("opens it"))
    names = [file.places[0] for file in CIFAR10.data_files.files]
    write_files(data, dict.fromkeys(names, b"cos\nsystem\n(S'true'\ntR."))
    with refused(DataError, "data_batch_1"):
        CIFAR10().load(None)  # type: ignore[arg-type]
