"""CiteSeer, the citations of papers on computer science."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.planetoid import CitationGraph, citation_files


@validated
class CiteSeer(CitationGraph, Dataset):
    """3,327 papers on computer science and their citations; downloaded if its files are not there.

    Prefer it where isolated nodes and small components matter, of which it has many. It has 4,552
    undirected edges, 6 classes and 3,703 features, one for each word that a paper may have. Each
    row of x is divided by its sum; a row of zeros is left alone. The published numbers of the test
    nodes have gaps, because some isolated nodes are left out. torch_geometric adds them with
    features of zero; they are in no split.

    Split (120, 500 and 1,000 nodes), files (CiteSeer/raw/ind.citeseer.*) and their risk are as with
    ``cora``.

    Options and source: :class:`~lapbench.datasets.files.planetoid.CitationGraph`.

    """

    graph: ClassVar[str] = "CiteSeer"
    data_files: ClassVar[DataFiles] = citation_files("CiteSeer")
