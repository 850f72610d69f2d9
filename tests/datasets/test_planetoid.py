"""The citation graphs: their files, what is wrong with files, and how they are split.

The files are made here, small and by their published layout: node v has the class v mod 3 and the
features of `features`; 0..5 train, 6..505 validate, 510 and later test, in no order.
"""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from expect_refusal import refused
from make_cells import create, load_task

from lapbench.datasets.files import planetoid
from lapbench.datasets.files.files import DataError, MissingDataError

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
TRAINING, HELD_OUT, OTHERS, NODES = 6, 500, 4, 540
FIRST_TEST = TRAINING + HELD_OUT + OTHERS
RING, CHAIN = 520, 535
GAPS = {515, 530}
COUNTS = planetoid.Counts(NODES, RING + CHAIN - RING - 1, 8, 3)


def features(nodes: np.ndarray) -> np.ndarray:
    """Two features a node, 1 and v mod 4, but none for node 7."""
    x = np.zeros((len(nodes), 8), np.float32)
    x[np.arange(len(nodes)), nodes % 5] = 1
    x[np.arange(len(nodes)), 5 + nodes % 3] = nodes % 4
    x[nodes == 7] = 0
    return x


def graph() -> dict[int, list[int]]:
    """A ring, a chain and isolated nodes, with a self-loop and a repeated edge."""
    pairs = [(v, (v + 1) % RING) for v in range(RING)]
    pairs += [(v, v + 1) for v in range(RING, CHAIN - 1)]
    neighbors: dict[int, list[int]] = {v: [] for v in range(NODES)}
    for i, j in [*pairs, (3, 4)]:
        neighbors[i].append(j)
        neighbors[j].append(i)
    neighbors[9].append(9)
    return neighbors


def write(folder: Path, name: str) -> None:
    """Write the eight files of a graph."""
    folder.mkdir(parents=True, exist_ok=True)
    gaps = GAPS if name == "CiteSeer" else set()
    test = np.array([v for v in range(FIRST_TEST, NODES) if v not in gaps])
    nodes = {"x": np.arange(TRAINING), "tx": test, "allx": np.arange(FIRST_TEST)}
    content: dict[str, Any] = {"graph": graph()}
    for part, rows in nodes.items():
        content[part] = scipy.sparse.csr_matrix(features(rows))
        content[part.replace("x", "y")] = np.eye(3, dtype=np.int32)[rows % 3]
    order = np.random.default_rng(0).permutation(len(test))
    content["tx"], content["ty"] = content["tx"][order], content["ty"][order]
    for part, value in content.items():
        (folder / f"ind.{name.lower()}.{part}").write_bytes(pickle.dumps(value))
    lines = "".join(f"{v}\n" for v in test[order])
    (folder / f"ind.{name.lower()}.test.index").write_text(lines)


def refuse(*_: object) -> None:
    """What stands for the download."""
    raise OSError("no network")


@pytest.fixture(autouse=True)
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small Cora, without a network."""
    monkeypatch.setenv("LAPBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(planetoid, "_download", refuse)
    for name in ("Cora", "CiteSeer", "PubMed"):
        monkeypatch.setitem(planetoid.PUBLISHED, name, COUNTS)
    folder = tmp_path / "Cora" / "raw"
    write(folder, "Cora")
    return folder


def task(name: str = "cora", seed: int = 0, **options: Any) -> Any:
    """The task of a small graph."""
    return create("datasets", name, **options).load(np.random.default_rng(seed))


def known(y: torch.Tensor) -> set[int]:
    """The nodes whose class a split tells."""
    return set((y >= 0).nonzero()[:, 0].tolist())


@pytest.mark.parametrize("name", ["Cora", "CiteSeer", "PubMed"])
def test_features_classes_edges_and_splits_are_the_published_ones(raw: Path, name: str):
    write(raw.parents[1] / name / "raw", name)
    loaded = task(name.lower())
    gaps = GAPS if name == "CiteSeer" else set()
    expected = features(np.arange(NODES))
    expected[list(gaps)] = 0
    expected /= np.maximum(expected.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(loaded.train.x, expected, rtol=1e-6)
    assert loaded.name == name.lower()
    edges = {(i, j) for i, others in graph().items() for j in others if i < j}
    assert set(map(tuple, loaded.edge_index.T.tolist())) == edges
    outer = set(loaded.outer.tolist())
    assert known(loaded.train.y) - outer == set(range(TRAINING))
    assert known(loaded.test.y) == set(range(FIRST_TEST, NODES)) - gaps
    assert outer | known(loaded.validation.y) == set(range(TRAINING, TRAINING + HELD_OUT))
    assert len(outer) == len(known(loaded.validation.y)) == HELD_OUT // 2
    for split in (loaded.train, loaded.validation, loaded.test):
        there = sorted(known(split.y))
        assert split.y[there].tolist() == [v % 3 for v in there]


def test_published_validation_nodes_are_halved_anew_in_every_repetition():
    one, two, again = task(seed=0), task(seed=1), task(seed=0)
    assert torch.equal(one.train.y, again.train.y)
    assert known(one.validation.y) != known(two.validation.y)
    assert torch.equal(one.test.y, two.test.y)


def test_only_the_largest_component_is_kept_if_so_chosen():
    whole, part = task(), task(largest_component=True)
    assert torch.equal(part.train.x, whole.train.x[:RING])
    assert torch.equal(part.test.y, whole.test.y[:RING])
    ring = whole.edge_index[:, (whole.edge_index < RING).all(dim=0)]
    assert torch.equal(part.edge_index, ring)


def test_nodes_are_renumbered_where_others_are_dropped(raw: Path):
    """Without the edges of node 2 the component is a chain from 3 over the end of the ring to 1."""
    cut = {v: [w for w in others if 2 not in (v, w)] for v, others in graph().items()}
    (raw / "ind.cora.graph").write_bytes(pickle.dumps(cut))
    planetoid.PUBLISHED["Cora"] = COUNTS._replace(edges=COUNTS.edges - 2)
    part = task(largest_component=True)
    kept = [v for v in range(RING) if v != 2]
    edges = [(kept.index(i), kept.index(j)) for i in kept for j in set(cut[i]) if i < j]
    assert sorted(map(tuple, part.edge_index.T.tolist())) == sorted(edges)
    assert len(part.train.x) == RING - 1
    assert known(part.train.y) - set(part.outer.tolist()) == set(range(TRAINING - 1))


def test_missing_files_are_named_and_not_mixed_with_downloaded_ones(
    raw: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = f"LAPBENCH_DATA (now {raw.parents[1]})"
    remedy = "the folder that has PubMed/raw/ind.pubmed.x"
    with refused(MissingDataError, "PubMed: 8 of 8 files", "no network", folder, remedy):
        task("pubmed")
    monkeypatch.setattr(planetoid, "_download", lambda *_: pytest.fail("downloads"))
    missing = [raw / f"ind.cora.{part}" for part in ("ty", "graph")]
    for path in missing:
        path.unlink()
    with refused(MissingDataError, "Cora: 2 of 8 files", folder) as error:
        task()
    for part in PARTS:
        path = raw / f"ind.cora.{part}"
        assert (f"{path}\n" in str(error.value)) == (path in missing)


@pytest.mark.parametrize("fails", [False, True])
def test_files_are_downloaded_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
):
    import torch_geometric.datasets

    def downloaded(root: str, name: str) -> None:
        write(Path(root) / name / "raw", name)
        if fails:
            raise ValueError("cut off")

    monkeypatch.undo()
    monkeypatch.setenv("LAPBENCH_DATA", str(tmp_path))
    monkeypatch.setitem(planetoid.PUBLISHED, "CiteSeer", COUNTS)
    monkeypatch.setattr(torch_geometric.datasets, "Planetoid", downloaded)
    folder = tmp_path / "CiteSeer" / "raw"
    if fails:
        with refused(MissingDataError, "(cut off)"):
            task("citeseer")
        assert not list(folder.iterdir())
    else:
        assert len(task("citeseer").train) == NODES
        assert {path.name for path in folder.iterdir()} == {f"ind.citeseer.{p}" for p in PARTS}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("content", [b"<html>", b"\x80\x05"])
def test_a_damaged_file_is_named(raw: Path, part: str, content: bytes):
    (raw / f"ind.cora.{part}").write_bytes(content + b"\n7 x\n")
    with refused(DataError, f"{raw}/ind.cora.{part} "):
        task()


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("allx", scipy.sparse.csr_matrix(features(np.arange(9))), ["together"]),
        ("ally", np.eye(3)[np.arange(FIRST_TEST + 1) % 3], ["540 nodes", "541"]),
        ("graph", {0: [1, NODES]}, ["together", "edges", f"(0, {NODES})"]),
        ("graph", {0: [1]}, ["540 nodes, 1 edges", "540 nodes, 534 edges"]),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    raw: Path, part: str, value: object, named: list[str]
):
    (raw / f"ind.cora.{part}").write_bytes(pickle.dumps(value))
    with refused(DataError, f"{raw}", *named):
        task()


def test_reading_warns_of_nothing_and_imports_torch_geometric_only_then():
    program = (
        "import sys, numpy as np; from lapbench.datasets import cora;"
        "from lapbench.datasets.files import planetoid;"
        f"planetoid.PUBLISHED['Cora'] = planetoid.Counts{tuple(COUNTS)};"
        "assert 'torch_geometric' not in sys.modules;"
        f"assert len(cora.Cora().load(np.random.default_rng(0)).train) == {NODES}"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True)
    assert (ran.returncode, ran.stderr.decode()) == (0, "")


@pytest.mark.parametrize(
    ("largest", "nodes", "edges", "training"), [(False, 2708, 5278, 140), (True, 2485, 5069, 122)]
)
def test_cora_has_the_published_size(
    monkeypatch: pytest.MonkeyPatch, largest: bool, nodes: int, edges: int, training: int
):
    monkeypatch.undo()
    monkeypatch.setattr(planetoid, "_download", refuse)
    loaded: Any = load_task("cora", largest_component=largest)
    assert loaded.train.x.shape == (nodes, 1433)
    assert loaded.edge_index.shape == (2, edges)
    assert loaded.num_classes == 7
    assert len(known(loaded.train.y)) - len(loaded.outer) == training
    if not largest:
        assert len(loaded.outer) == len(known(loaded.validation.y)) == 250
        assert len(known(loaded.test.y)) == 1000
