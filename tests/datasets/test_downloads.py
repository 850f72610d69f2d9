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


def cut_off(handler: BaseHTTPRequestHandler, _: Server) -> None:
    send(handler, CONTENT[:1000], len(CONTENT))


def short(handler: BaseHTTPRequestHandler, _: Server) -> None:
    send(handler, CONTENT[:1000])


def corrupted(handler: BaseHTTPRequestHandler, _: Server) -> None:
    send(handler, CONTENT[:-1] + b"\0")


def missing(handler: BaseHTTPRequestHandler, _: Server) -> None:
    handler.send_error(404)


def silent(handler: BaseHTTPRequestHandler, server: Server) -> None:
    send(handler, CONTENT[:1000], len(CONTENT))
    server.over.wait(30)


def circling(handler: BaseHTTPRequestHandler, _: Server) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


BAD = {
    cut_off: "IncompleteRead",
    short: "does not match the known hash",
    corrupted: "does not match the known hash",
    missing: "404 Client Error",
    silent: "timed out",
    circling: "Exceeded 30 redirects",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
class TestABadServer:
    def test_ends_in_an_error_that_says_why_and_what_to_put_where(
        self, server: Server, data: Path, bad: object
    ):
        server.answers["one"] = lambda handler: bad(handler, server)
        data_files = plain(NAME, CONTENT, f"{server.url}one")
        with refused(MissingDataError, f"{server.url}one:", f"{BAD[bad]}") as error:
            fetch(data_files)
        assert f"{data / NAME} (MD5 sum {md5(CONTENT)})" in str(error.value)
        assert f"LAPBENCH_DATA (now {data})" in str(error.value)
        assert listing(data) == {"mine.txt"}

    def test_is_tried_again_which_may_work(self, server: Server, data: Path, bad: object):
        def better(handler: BaseHTTPRequestHandler) -> None:
            first = len(server.asked) <= {circling: 31}.get(bad, 1)
            bad(handler, server) if first else send(handler, CONTENT)

        server.answers["one"] = better
        assert fetch(plain(NAME, CONTENT, f"{server.url}one")) == [data / NAME]
        assert (data / NAME).read_bytes() == CONTENT
        assert listing(data) == {"mine.txt", NAME}

    def test_is_left_for_the_next_mirror(self, server: Server, data: Path, bad: object):
        server.answers["one"] = lambda handler: bad(handler, server)
        with serving() as other:
            good = other.offer("two", CONTENT)
            assert contents(plain(NAME, CONTENT, f"{server.url}one", good)) == [CONTENT]
            assert other.asked == ["two"]
        assert listing(data) == {"mine.txt", NAME}


def test_redirections_are_followed(server: Server, data: Path):
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", server.offer("there", CONTENT))
        handler.end_headers()

    server.answers["here"] = elsewhere
    assert contents(plain(NAME, CONTENT, f"{server.url}here")) == [CONTENT]
    assert server.asked == ["here", "there"]
    assert listing(data) == {"mine.txt", NAME}


def test_interruption_leaves_nothing(server: Server, data: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> Iterator[bytes]:
        yield CONTENT[:1000]
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(plain(NAME, CONTENT, server.offer("one", CONTENT)))
    assert listing(data) == {"mine.txt"}


def test_what_is_there_is_not_asked_for_and_stays(server: Server, data: Path):
    texts = {name: name.encode() for name in ("first", "second", "third")}
    data_files = zipped(texts, "raw", server.url)
    for name, text in texts.items():
        server.offer(f"{name}.gz", gzip.compress(text, mtime=0))
    own = gzip.compress(texts["second"], 1, mtime=9)
    write_files(data, {"raw/first": texts["first"], "raw/second.gz": own})
    assert contents(data_files) == list(texts.values())
    assert server.asked == ["third.gz"]
    assert (data / "raw/second.gz").read_bytes() == own
    assert listing(data) == {"mine.txt", "raw/first", "raw/second.gz", "raw/third.gz"}


def test_a_wrong_file_is_refused_with_both_hashes_and_stays(server: Server, data: Path):
    write_files(data, {NAME: b"other"})
    with refused(DataError, f"{data / NAME}") as error:
        contents(plain(NAME, CONTENT, server.offer("one", CONTENT)))
    for part in (md5(b"other"), md5(CONTENT), "put the original", "lapbench data fetch tiny"):
        assert part in str(error.value)
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
    data_files = zipped({"first": b"1", "second": b"2"}, "raw", server.url)
    server.offer("second.gz", gzip.compress(b"2", mtime=0))
    with refused(MissingDataError, "tiny", "1 of 2"):
        fetch(data_files)
    assert listing(data) == {"mine.txt", "raw/second.gz"}
    server.offer("first.gz", gzip.compress(b"1", mtime=0))
    assert contents(data_files) == [b"1", b"2"]


def test_a_host_that_does_not_answer_is_tried_for_one_file_only(server: Server):
    for name in ("first", "second"):
        server.answers[f"{name}.gz"] = lambda handler: silent(handler, server)
    with refused(MissingDataError, "second.gz: not tried again"):
        fetch(zipped({"first": b"1", "second": b"2"}, "raw", server.url))
    assert server.asked == ["first.gz", "first.gz"]


def test_without_a_network_every_file_is_named_with_its_addresses(data: Path):
    with serving() as server:
        closed = server.url
    data_files = zipped({"first": b"1", "second": b"2"}, "raw", closed)
    with pytest.raises(MissingDataError) as error:
        contents(data_files)
    message = str(error.value)
    assert message.startswith("tiny: 2 of 2 files are not there, and downloading them failed:\n")
    for each in data_files.downloads:
        assert f"{data / each.name} (MD5 sum {each.md5})" in message
        assert f"or {each.files[0].places[0]} below {data}" in message
        assert each.mirrors[0] in message
    assert "onnection refused" in message
    assert "`lapbench data fetch tiny` tries" in message
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


def test_files_have_the_usual_permissions(server: Server, data: Path):
    fetch(plain(NAME, CONTENT, server.offer("one", CONTENT)))
    assert (data / NAME).stat().st_mode == (data / "mine.txt").stat().st_mode


def test_compression_on_the_way_is_not_asked_for(server: Server):
    headers = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        headers.append(handler.headers["Accept-Encoding"])
        send(handler, CONTENT)

    server.answers["one"] = note
    fetch(plain(NAME, CONTENT, f"{server.url}one"))
    assert headers == ["identity"]


def test_tests_reach_no_other_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        requests.Session, "send", lambda *_, **__: pytest.fail("reaches the internet")
    )
    with refused(MissingDataError, "tests download nothing"):
        fetch(plain(NAME, CONTENT, "https://example.org/file"))


MEMBERS = {"tiny/one": b"1", "tiny/two": b"2"}


class TestArchives:
    def test_give_the_expected_members_alone(self, server: Server, data: Path):
        content = archive({**MEMBERS, "tiny/readme.html": b"hello", "three": b"3"})
        assert contents(packed(content, MEMBERS, server.offer("tiny.tar.gz", content))) == [
            b"1",
            b"2",
        ]
        assert listing(data) == {"mine.txt", *MEMBERS}

    def test_of_the_user_are_used_in_place(self, server: Server, data: Path):
        content = archive(MEMBERS)
        write_files(data, {"tiny.tar.gz": content})
        assert contents(packed(content, MEMBERS, f"{server.url}one")) == [b"1", b"2"]
        assert server.asked == []
        assert listing(data) == {"mine.txt", "tiny.tar.gz", *MEMBERS}

    def test_leave_files_that_are_there_as_they_are(self, data: Path):
        content = archive(MEMBERS)
        write_files(data, {"tiny.tar.gz": content, "tiny/one": b"own"})
        fetch(packed(content, MEMBERS))
        assert (data / "tiny/one").read_bytes() == b"own"
        assert (data / "tiny/two").read_bytes() == b"2"

    def test_are_not_opened_if_their_hash_is_wrong(
        self, server: Server, data: Path, monkeypatch: pytest.MonkeyPatch
    ):
        bad, good = archive({**MEMBERS, "../evil": b"evil"}), archive(MEMBERS)
        monkeypatch.setattr(tarfile, "open", lambda *_: pytest.fail("opens it"))
        with refused(MissingDataError, "hash"):
            fetch(packed(good, MEMBERS, server.offer("one", bad)))
        assert listing(data) == {"mine.txt"}
        write_files(data, {"tiny.tar.gz": bad})
        with refused(DataError, md5(bad), md5(good)):
            fetch(packed(good, MEMBERS))
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
        with refused(DataError, "link") as error:
            fetch(packed(content, MEMBERS, server.offer("one", content)))
        assert repr(member.name) in str(error.value)
        assert listing(outside) == {"data/mine.txt"}

    def test_that_are_cut_off_or_lack_a_member_leave_nothing(self, server: Server, data: Path):
        whole, lacking = archive({"tiny/one": b"1" * 9999}), archive({"tiny/one": b"1"})
        for content, named in ((whole[:-30], "archive"), (lacking, "tiny/two")):
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
