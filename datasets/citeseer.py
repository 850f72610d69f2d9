"""CiteSeer, the citations of papers on computer science."""

from typing import ClassVar

import numpy as np

from lapbench.datasets.base.source import Source
from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.planetoid import citation_source, citation_task


@validated
class CiteSeer(Dataset):
    """3,327 papers on computer science and their citations; downloaded if its files are not there.

    Prefer it where isolated nodes and small components matter, of which it has many. It has 4,552
    undirected edges, 6 classes and 3,703 features, which words a paper has; each row of x is
    divided by its sum (a row of zeros stays as it is). The published numbers of the test nodes have
    gaps, because some isolated nodes are left out; torch_geometric adds these with features of
    zero, and they are in no split.

    Split (120, 500 and 1,000 nodes), files (CiteSeer/raw/ind.citeseer.*) and their risk are as with
    ``cora``.

    Args:
        largest_component: whether to keep only the nodes of the largest connected component; those
            of all splits that lie outside are dropped before validation is halved.

    Source: Z. Yang, W. W. Cohen, R. Salakhutdinov, "Revisiting semi-supervised learning with graph
    embeddings" (Planetoid), ICML 2016, for data and split; Ghanem, Vaiter, Keriven, "Gradient
    scarcity with bilevel optimization for graph learning", section 6, for V_out.

    """

    nodes_only: ClassVar[bool] = True

    source: ClassVar[Source] = citation_source("CiteSeer")

    largest_component: bool = False

    def load(self, rng: np.random.Generator) -> Task:
        """Return the task, V_out and validation nodes being drawn by ``rng``.

        Raises:
            DataError: if files are missing or not those of CiteSeer.

        """
        return citation_task("CiteSeer", self.largest_component, rng)
