"""Cora, the citations of papers on machine learning."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.planetoid import CitationGraph, citation_files


@validated
class Cora(CitationGraph, Dataset):
    """2,708 papers on machine learning and their citations; downloaded if its files are not there.

    Prefer it to compare with published results: nearly every paper has them on this graph. It has
    5,278 undirected edges, 7 classes and 1,433 features, one for each word that a paper may have.
    Each row of x is divided by its sum; a row of zeros is left alone. The graph is not connected:
    its largest component has 2,485 nodes and 5,069 edges.

    The split is the published one. V_tr are the 140 training nodes, 20 of each class. The 500
    validation nodes are halved at random per repetition into V_out and validation. The test set has
    1,000 nodes. All other nodes are in the graph, but in no split.

    The files are ind.cora.{x,tx,allx,y,ty,ally,graph,test.index} in Cora/raw of the data folder
    (the layout of torch_geometric). The environment variable LAPBENCH_DATA names that folder, by
    default ``lapbench`` in the user's cache folder. If no file is there, torch_geometric downloads
    them. They are pickles, which may run any program when they are read: trust their source.

    Options and source: :class:`~lapbench.datasets.files.planetoid.CitationGraph`.

    """

    graph: ClassVar[str] = "Cora"
    data_files: ClassVar[DataFiles] = citation_files("Cora")
