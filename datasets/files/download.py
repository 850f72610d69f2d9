"""Downloads of published files: whole and with the right hash, or not at all."""

import sys
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pooch
import requests

from lapbench.datasets.base.data_files import DataFiles, Download
from lapbench.datasets.files.files import (
    DataError,
    MissingDataError,
    data_folder,
    describe_variable,
    find,
    read,
    refused,
)

_HIDDEN = ".download-"
_RETRIES = 1
_PATIENCE = 30.0
"""Seconds in which a server must say something."""


def contents(wanted: DataFiles) -> list[bytes]:
    """The contents of all files of a data set, not gzipped, after downloading missing ones.

    Raises:
        DataError: as :func:`fetch` does, or if a file is not the published one.

    """
    fetch(wanted)
    return [read(wanted.name, file) for file in wanted.files]


def fetch(wanted: DataFiles) -> list[Path]:
    """Download what is missing of a data set, and return the paths of all files that came.

    Mirrors are tried in their order, each twice. A file gets its name when it is whole and its hash
    is right; before, and after any failure or interruption, nothing is left of it. An archive is
    read only when its hash is right, nothing but the expected members are taken from it, and they
    appear all or none. What is there already is not touched. Several processes may do this at once.

    Raises:
        MissingDataError: if a download failed; it says why at each mirror, and what to put where.
        DataError: if an archive has no right to its hash: members lead out of the folder.

    """
    missing = [part for part in wanted.downloads if not all(map(find, part.files))]
    came: list[Path] = []
    failures: dict[Download, str] = {}
    silent: set[str] = set()
    for download in missing:
        try:
            came += _bring(download, silent)
        except DataError:
            raise
        except OSError as error:
            failures[download] = str(error)
    if failures:
        raise _missing(wanted, failures)
    return came


def _bring(download: Download, silent: set[str]) -> list[Path]:
    """Download one file, and return the paths of what came of it.

    Args:
        download: what.
        silent: hosts that do not answer, of which another one is remembered.

    Raises:
        DataError: as :func:`fetch` says.
        OSError: that says why it failed at every mirror.

    """
    folder = data_folder()
    archive = folder / download.name
    if folder.exists() and not folder.is_dir():
        raise DataError(
            f"{folder} is not a directory; set the environment variable {describe_variable()} to "
            "one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=_HIDDEN, dir=folder) as there:
        if download.is_archive and archive.is_file():
            if (digest := pooch.file_hash(str(archive), "md5")) != download.md5:
                raise refused(archive, f"has the MD5 sum {digest}; must be {download.md5}")
            return _place(download, archive)
        reasons = []
        for url in download.mirrors:
            try:
                path = _downloaded(url, download.md5, there, silent)
            except (OSError, ValueError) as error:
                reasons.append(f"{url}: {_reason(error)}")
            else:
                return _place(download, path)
    raise OSError("\n    ".join(reasons))


def _downloaded(url: str, md5: str, there: str, silent: set[str]) -> Path:
    """The path of what an address has, in a folder, the hash being right."""
    host = urlsplit(url).netloc
    if host in silent:
        raise OSError("not tried again, as this host did not answer")
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        timeout=_PATIENCE,
        headers={"Accept-Encoding": "identity"},  # what is gzipped stays so
    )
    fetcher = pooch.create(
        there, "", registry={"file": f"md5:{md5}"}, urls={"file": url}, retry_if_failed=_RETRIES
    )
    try:
        return Path(fetcher.fetch("file", downloader=downloader))
    except (requests.ConnectionError, requests.Timeout):
        silent.add(host)
        raise


def _reason(error: Exception) -> object:
    """What went wrong; requests wraps it twice where no connection is made."""
    return getattr(error.args[0], "reason", error) if error.args else error


def _place(download: Download, path: Path) -> list[Path]:
    """Put what came of a download where it belongs, all or none, and return the new paths."""
    if download.is_archive:
        contents = _members(download, path)
    else:
        contents = {download.name: path.read_bytes()}
    places = {data_folder() / name: content for name, content in contents.items()}
    for parent in {place.parent for place in places}:
        parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, which may be on another disk than the data folder.
        with TemporaryDirectory(prefix=_HIDDEN, dir=parent) as there:
            new = {Path(there) / place.name: place for place in places if place.parent == parent}
            for staged, place in new.items():
                staged.write_bytes(places[place])
            for staged, place in new.items():
                staged.replace(place)
    return list(places)


def _members(download: Download, path: Path) -> dict[str, bytes]:
    """The contents of the missing files from an archive; nothing is unpacked on the way."""
    wanted = {file.places[0] for file in download.files if find(file) is None}
    members = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                inside = not name.is_absolute() and ".." not in name.parts
                if not inside or not (member.isfile() or member.isdir()):
                    raise refused(
                        data_folder() / download.name,
                        f"has the member {member.name!r}, which is a link or leads out of the "
                        "folder; must be files and folders below it",
                    )
                content = archive.extractfile(member) if str(name) in wanted else None
                if content is not None:
                    members[str(name)] = content.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise refused(
            data_folder() / download.name, f"is not a complete archive ({error})"
        ) from error
    if lacking := sorted(wanted - members.keys()):
        raise refused(data_folder() / download.name, f"lacks {', '.join(lacking)}")
    return members


def _missing(wanted: DataFiles, failures: dict[Download, str]) -> MissingDataError:
    lines = []
    for download, reasons in failures.items():
        lines.append(f"{data_folder() / download.name} (MD5 sum {download.md5})")
        others = {place for file in download.files for place in file.places} - {download.name}
        lines.append(f"  or {', '.join(sorted(others))} below {data_folder()}")
        lines.append(f"  {reasons}")
    return MissingDataError(
        "\n  ".join(
            [
                f"{wanted.name}: {len(failures)} of {len(wanted.downloads)} files are not there, "
                "and downloading them failed:",
                *lines,
            ]
        )
        + "\nput the original files there, or set the environment variable "
        f"{describe_variable()} to the folder that has "
        f"{next(iter(failures)).files[0].places[0]}; `lapbench data fetch {wanted.name}` tries "
        "the download again"
    )
