"""What a data set reads from the data folder: files of known content, and where they come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file of known content.

    Attributes:
        places: paths below the data folder where it may be, the first one counting; what is in a
            place that ends in .gz is gzipped.
        md5: of the content, which is not gzipped; None where it is not known.

    """

    places: tuple[str, ...]
    md5: str | None


@dataclass(frozen=True)
class Download:
    """A file as it is published, and the files that come of it.

    Attributes:
        name: its path below the data folder.
        md5: of what is downloaded, gzipped or not.
        mirrors: its addresses, in the order in which they are tried.
        files: the members that are used, if it is an archive (.tar.gz); else itself.

    """

    name: str
    md5: str
    mirrors: tuple[str, ...]
    files: tuple[File, ...]

    @property
    def is_archive(self) -> bool:
        """Whether the files are its members."""
        return self.name.endswith(".tar.gz")


@dataclass(frozen=True)
class DataFiles:
    """The files of a data set, and where they come from.

    Attributes:
        name: of the data set, as ``lapbench list datasets`` has it.
        terms: who published it, and under which licence.
        downloads: what it is made of.
        others: files that another library downloads.

    """

    name: str
    terms: str
    downloads: tuple[Download, ...] = ()
    others: tuple[File, ...] = ()

    @property
    def files(self) -> list[File]:
        """All files, in their order."""
        return [*(file for download in self.downloads for file in download.files), *self.others]
