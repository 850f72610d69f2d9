"""Small files in the formats of published data sets, with hashes of their own; and a server."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from scipy.io import savemat

from lapbench.datasets.base.data_files import DataFiles, Download, File

IDX_NAMES = [
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]


def md5(content: bytes) -> str:
    """Its MD5 sum, in hexadecimal digits."""
    return hashlib.md5(content).hexdigest()


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the idx format, by its description."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def numbered(count: int, first: int, channels: int, side: int) -> np.ndarray:
    """Images (n, c, h, w) that all differ: each has its number in its first two pixels.

    Channel c of the last pixel is 255 − c.
    """
    numbers = np.arange(first, first + count)
    pixels = np.zeros((count, channels, side, side), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = numbers // 256, numbers % 256
    pixels[:, :, -1, -1] = 255 - np.arange(channels)
    return pixels


def cifar_batch(images: np.ndarray, labels: list[int], key: str) -> bytes:
    """A batch of CIFAR, by its description."""
    return pickle.dumps({"data": images.reshape(len(images), -1), key: labels}, protocol=2)


def svhn_file(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A file of SVHN, by its description."""
    file = io.BytesIO()
    savemat(file, {"X": images.transpose(2, 3, 1, 0), "y": labels[:, None]})
    return file.getvalue()


def archive(members: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    """A gzipped tar archive of files, and of members without content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in others:
            tar.addfile(member)
    return file.getvalue()


def plain(name: str, content: bytes, *mirrors: str) -> DataFiles:
    """A data set of one file."""
    file = File((name,), md5(content))
    return DataFiles("tiny", "free", (Download(name, md5(content), mirrors, (file,)),))


def zipped(contents: dict[str, bytes], folder: str, *mirrors: str) -> DataFiles:
    """A data set of files that are gzipped, each by itself."""
    downloads = []
    for name, content in contents.items():
        place = f"{folder}/{name}"
        file = File((place, f"{place}.gz"), md5(content))
        hashed = md5(gzip.compress(content, mtime=0))
        urls = tuple(f"{mirror}{name}.gz" for mirror in mirrors)
        downloads.append(Download(f"{place}.gz", hashed, urls, (file,)))
    return DataFiles("tiny", "free", tuple(downloads))


def packed(content: bytes, members: dict[str, bytes], *mirrors: str) -> DataFiles:
    """A data set of members of an archive."""
    files = tuple(File((name,), md5(member)) for name, member in members.items())
    return DataFiles("tiny", "free", (Download("tiny.tar.gz", md5(content), mirrors, files),))


def write(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files into a folder, and the folders below it that they need."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def listing(folder: Path) -> set[str]:
    """All files below a folder, and all empty folders."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_dir() or not any(path.iterdir())
    }


class Server:
    """A server on this machine: what it answers by path, and the paths that were asked for."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.over = threading.Event()

    def offer(self, name: str, content: bytes) -> str:
        """Answer with a content, and return its address."""
        self.answers[name] = lambda handler: send(handler, content)
        return self.url + name


def send(handler: BaseHTTPRequestHandler, content: bytes, length: int | None = None) -> None:
    """Send a content, and its length or another one."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path[1:]
            server.asked.append(name)
            if name in server.answers:
                server.answers[name](self)
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server = Server(http.server_address[1])
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            http.shutdown()
            thread.join()
