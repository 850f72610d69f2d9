"""The citation graphs of Planetoid: their files, and the tasks that are made of them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from lapbench.datasets.base.data_files import DataFiles, File
from lapbench.datasets.base.nodes import node_task, undirected
from lapbench.datasets.base.task import Dataset, Task
from lapbench.datasets.base.validated import validated
from lapbench.datasets.files.files import (
    DataError,
    MissingDataError,
    data_folder,
    describe_variable,
    refused,
)

_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")


class Counts(NamedTuple):
    """How much of everything a graph has; its edges are undirected, without self-loops."""

    nodes: int
    edges: int
    features: int
    classes: int


PUBLISHED = {
    "Cora": Counts(2_708, 5_278, 1_433, 7),
    "CiteSeer": Counts(3_327, 4_552, 3_703, 6),
    "PubMed": Counts(19_717, 44_324, 500, 3),
}


def citation_files(name: str) -> DataFiles:
    """The data files of a graph, whose files torch_geometric downloads."""
    files = [File((f"{name}/raw/ind.{name.lower()}.{part}",), None) for part in _PARTS]
    return DataFiles(
        name.lower(), "Z. Yang, W. W. Cohen, R. Salakhutdinov; MIT", others=tuple(files)
    )


@validated
class CitationGraph(Dataset):
    """A citation graph with the published split, of which the validation nodes are halved.

    Attributes:
        data_files: its files, which torch_geometric downloads if none is there.
        graph: its name in them.

    Args:
        largest_component: whether to keep only the nodes of the largest connected component; those
            of all splits that lie outside are dropped before validation is halved.

    Source: Z. Yang, W. W. Cohen, R. Salakhutdinov, "Revisiting semi-supervised learning with graph
    embeddings" (Planetoid), ICML 2016, for data and split; Ghanem, Vaiter, Keriven, "Gradient
    scarcity with bilevel optimization for graph learning", section 6, for V_out.

    """

    nodes_only: ClassVar[bool] = True
    graph: ClassVar[str]

    largest_component: bool = False

    def load(self, rng: np.random.Generator) -> Task:
        """The task, V_out and validation nodes being drawn by ``rng``.

        Raises:
            DataError: if files are missing or not those of the graph.

        """
        return citation_task(self.graph, self.largest_component, rng)


def citation_task(name: str, largest_component: bool, rng: np.random.Generator) -> Task:
    """The task of a graph with the published split, as ``cora`` describes it.

    Args:
        name: "Cora", "CiteSeer" or "PubMed".
        largest_component: whether all other nodes are left out.
        rng: what halves the published validation nodes.

    Raises:
        DataError: if files are missing, or not the published ones.

    """
    graph, edges = _read(name)
    kept = torch.arange(len(graph.y))
    if largest_component:
        kept = _largest_component(edges, len(graph.y))
        place = torch.full((len(graph.y),), -1)
        place[kept] = torch.arange(len(kept))
        edges = place[edges]
        edges = edges[:, (edges >= 0).all(dim=0)]
    inner, held_out, test = (
        graph[f"{part}_mask"][kept].nonzero()[:, 0] for part in ("train", "val", "test")
    )
    order = torch.from_numpy(rng.permutation(len(held_out)))
    outer, validation = held_out[order].tensor_split(2)
    rows = {"inner": inner, "outer": outer, "validation": validation, "test": test}
    sums = graph.x.sum(dim=1, keepdim=True)
    x = graph.x / sums.where(sums > 0, 1)
    return node_task(name.lower(), x[kept], graph.y[kept], edges, rows)


def _read(name: str) -> tuple[Any, Tensor]:
    """A graph as torch_geometric has it, and its edges, after a download if need be."""
    folder = data_folder() / name / "raw"
    files = [folder / f"ind.{name.lower()}.{part}" for part in _PARTS]
    missing = [file for file in files if not file.is_file()]
    with _upstream_warnings_ignored():
        if len(missing) == len(files):
            try:
                _download(name, folder)
            except Exception as error:
                raise _missing(name, missing, f"the download failed ({error})") from error
        elif missing:
            raise _missing(name, missing, "nothing is downloaded where others are")
        graph, edges = _parse(name, folder)
    counts = Counts(len(graph.y), edges.shape[1], graph.x.shape[1], int(graph.y.max()) + 1)
    if counts != PUBLISHED[name]:
        raise DataError(
            f"{folder} holds {_words(counts)}; must be the published "
            f"{_words(PUBLISHED[name])}; put the original files there"
        )
    return graph, edges


def _download(name: str, folder: Path) -> None:
    """Put the published files into a folder, none before all of them have come and can be read."""
    from torch_geometric.datasets import Planetoid

    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as there:
        Planetoid(there, name)
        for file in (Path(there) / name / "raw").iterdir():
            file.replace(folder / file.name)


def _parse(name: str, folder: Path) -> tuple[Any, Tensor]:
    from torch_geometric.io import read_planetoid_data
    from torch_geometric.io.planetoid import read_file

    try:
        graph = read_planetoid_data(str(folder), name)
        if len(graph.x) != len(graph.y):
            raise ValueError(f"features of {len(graph.x)} nodes, classes of {len(graph.y)}")
        return graph, undirected(graph.edge_index, len(graph.y))
    except Exception as error:  # damaged pickles raise anything
        for part in _PARTS:
            try:
                read_file(str(folder), name, part)
            except Exception as damage:
                why = f"cannot be read ({type(damage).__name__}: {damage})"
                raise refused(folder / f"ind.{name.lower()}.{part}", why) from damage
        raise DataError(
            f"{folder}: its files do not fit together ({error}); put the original files there"
        ) from error


def _missing(name: str, missing: list[Path], why: str) -> MissingDataError:
    return MissingDataError(
        f"{name}: {len(missing)} of {len(_PARTS)} files are not there:\n  "
        + "\n  ".join(map(str, missing))
        + f"\nand {why}; put the original files there, or set the environment "
        f"variable {describe_variable()} to the folder that has "
        f"{name}/raw/{missing[0].name}"
    )


@contextmanager
def _upstream_warnings_ignored() -> Iterator[None]:
    """Ignore what is not the user's to mend; what torch_geometric ignores ends here too."""
    with warnings.catch_warnings():
        # torch_geometric.nn.pool.select scripts a class when it is imported.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        yield


def _largest_component(edges: Tensor, num_nodes: int) -> Tensor:
    """The nodes of the largest connected component (the first of several), ascending."""
    ones = np.ones(edges.shape[1])
    adjacency = coo_array((ones, tuple(edges.numpy())), shape=(num_nodes, num_nodes))
    _, component = connected_components(adjacency, directed=False)
    return torch.from_numpy(np.flatnonzero(component == np.bincount(component).argmax()))


def _words(counts: Counts) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts._asdict().items())
