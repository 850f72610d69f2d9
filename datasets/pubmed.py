"""PubMed, the citations of papers on diabetes."""

from typing import ClassVar

import numpy as np

from lapbench.datasets.base.source import Source
from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.planetoid import citation_source, citation_task


@validated
class PubMed(Dataset):
    """19,717 papers on diabetes and their citations; downloaded if its files are not there.

    Prefer it where the cost on a larger graph matters. It has 44,324 undirected edges, 3 classes
    and 500 features, TF-IDF weights of words; each row of x is divided by its sum (a row of zeros
    stays as it is).

    Split (60, 500 and 1,000 nodes), files (PubMed/raw/ind.pubmed.*) and their risk are as with
    ``cora``.

    Args:
        largest_component: whether to keep only the nodes of the largest connected component; those
            of all splits that lie outside are dropped before validation is halved.

    Source: Z. Yang, W. W. Cohen, R. Salakhutdinov, "Revisiting semi-supervised learning with graph
    embeddings" (Planetoid), ICML 2016, for data and split; Ghanem, Vaiter, Keriven, "Gradient
    scarcity with bilevel optimization for graph learning", section 6, for V_out.

    """

    nodes_only: ClassVar[bool] = True

    source: ClassVar[Source] = citation_source("PubMed")

    largest_component: bool = False

    def load(self, rng: np.random.Generator) -> Task:
        """Return the task, V_out and validation nodes being drawn by ``rng``.

        Raises:
            DataError: if files are missing or not those of PubMed.

        """
        return citation_task("PubMed", self.largest_component, rng)
