"""Cora, the citations of papers on machine learning."""

from typing import ClassVar

from lapbench.datasets.base.data_files import DataFiles
from lapbench.datasets.base.task import Dataset
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.planetoid import CitationGraph, citation_files


@validated
class Cora(CitationGraph, Dataset):
    """2,708 papers on machine learning and their citations; downloaded if its files are not there.

    Prefer it to compare with what is published: it is the graph that nearly every paper has. It has
    5,278 undirected edges, 7 classes and 1,433 features, which words a paper has; each row of
    x is divided by its sum (a row of zeros stays as it is). The graph is not connected; the largest
    component has 2,485 nodes and 5,069 edges.

    The split is the published one: V_tr are the 140 training nodes (20 of each class), the 500
    validation nodes are halved at random per repetition into V_out and validation, the test set are
    the published 1,000 nodes. All other nodes are in no split, but in the graph.

    The files are ind.cora.{x,tx,allx,y,ty,ally,graph,test.index} in Cora/raw (the layout of
    torch_geometric) of the folder in the environment variable LAPBENCH_DATA, else of ``lapbench``
    in the user's cache folder. If none is there, torch_geometric downloads them. They are pickles,
    which may run any program when they are read: use only files that you trust.

    Options and source: :class:`~lapbench.datasets.files.planetoid.CitationGraph`.

    """

    graph: ClassVar[str] = "Cora"
    data_files: ClassVar[DataFiles] = citation_files("Cora")
