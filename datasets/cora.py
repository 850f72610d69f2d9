"""Cora, the citations of papers on machine learning."""

from typing import ClassVar

import numpy as np

from lapbench.datasets.base.source import Source
from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.planetoid import citation_source, citation_task


@validated
class Cora(Dataset):
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

    Args:
        largest_component: whether to keep only the nodes of the largest connected component; those
            of all splits that lie outside are dropped before validation is halved.

    Source: Z. Yang, W. W. Cohen, R. Salakhutdinov, "Revisiting semi-supervised learning with graph
    embeddings" (Planetoid), ICML 2016, for data and split; Ghanem, Vaiter, Keriven, "Gradient
    scarcity with bilevel optimization for graph learning", section 6, for V_out.

    """

    nodes_only: ClassVar[bool] = True

    source: ClassVar[Source] = citation_source("Cora")

    largest_component: bool = False

    def load(self, rng: np.random.Generator) -> Task:
        """Return the task, V_out and validation nodes being drawn by ``rng``.

        Raises:
            DataError: if files are missing or not those of Cora.

        """
        return citation_task("Cora", self.largest_component, rng)
