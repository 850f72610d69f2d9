"""PubMed, the citations of papers on diabetes."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.planetoid import CitationGraph, citation_files


@validated
class PubMed(CitationGraph, Dataset):
    """19,717 papers on diabetes and their citations; downloaded if its files are not there.

    Prefer it where the cost on a larger graph matters. It has 44,324 undirected edges, 3 classes
    and 500 features, TF-IDF weights of words. Each row of x is divided by its sum; a row of zeros
    is left alone.

    Split (60, 500 and 1,000 nodes), files (PubMed/raw/ind.pubmed.*) and their risk are as with
    ``cora``.

    Options and source: :class:`~lapbench.datasets.files.planetoid.CitationGraph`.

    """

    graph: ClassVar[str] = "PubMed"
    data_files: ClassVar[DataFiles] = citation_files("PubMed")
