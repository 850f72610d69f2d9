"""Graphs as data: what a node task refuses, and the graphs that come with lapbench."""

from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from make_cells import load_task
from pydantic import ValidationError
from scipy.stats import binom, multivariate_normal, norm, poisson

from lapbench.datasets.base.nodes import node_task, undirected
from lapbench.datasets.base.task import Split, Task
from lapbench.datasets.stochastic_blocks import StochasticBlocks


def graph_task(edges: torch.Tensor) -> Task:
    """A node task of six nodes, each split having two."""
    parts = ("inner", "outer", "validation", "test")
    rows = dict(zip(parts, torch.tensor([[0], [1], [2], [4]]), strict=True))
    return node_task("tiny", torch.eye(6), torch.arange(6) % 2, edges, rows)


def known(split: Split) -> set[int]:
    """The nodes whose class a split tells."""
    return set((split.y >= 0).nonzero()[:, 0].tolist())


class TestEdges:
    @pytest.mark.parametrize(
        ("pairs", "wrong"),
        [
            ([[0, 1], [2, 2], [3, 3]], "(2, 2) at 1"),
            ([[0, 1], [1, 2], [5, 3]], "(5, 3) at 2"),
            ([[0, 1], [2, 3], [0, 1], [2, 3]], "(0, 1) at 2"),
            ([[0, 1], [1, 0]], "(1, 0) at 1"),
        ],
        ids=["self-loop", "reversed", "repeated", "both directions"],
    )
    def test_the_first_wrong_one_is_named_and_undirected_mends_it(
        self, pairs: list[list[int]], wrong: str
    ):
        with refused(ValueError, "tiny", wrong):
            graph_task(torch.tensor(pairs).T)
        edges = undirected(torch.tensor(pairs).T, 6)
        expected = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
        assert list(map(tuple, edges.T.tolist())) == expected
        assert graph_task(edges).nodes_only

    @pytest.mark.parametrize(
        ("pairs", "wrong"),
        [
            ([[0, 1], [2, 6]], "(2, 6) at 1"),
            ([[-1, 1], [2, 3]], "(-1, 1) at 0"),
            ([[0, 7], [1, 2]], "(0, 7) at 0"),
        ],
        ids=["too high", "negative", "same product as a good one"],
    )
    def test_nodes_that_do_not_exist_are_refused(self, pairs: list[list[int]], wrong: str):
        with refused(ValueError, "tiny", wrong):
            graph_task(torch.tensor(pairs).T)
        with refused(ValueError, "edges", wrong):
            undirected(torch.tensor(pairs).T, 6)

    @pytest.mark.parametrize(
        "edges",
        [
            torch.zeros(2, 1),
            torch.zeros(1, 2, dtype=torch.int64),
            torch.zeros(2, dtype=torch.int64),
            torch.tensor([[0], [1]], dtype=torch.int32),
        ],
    )
    def test_another_shape_or_type_is_refused(self, edges: torch.Tensor):
        with refused(ValueError, "edge_index"):
            graph_task(edges)

    @pytest.mark.parametrize("pairs", [[], [[0, 5]], [[0, 1], [0, 2], [1, 2], [3, 4]]])
    def test_disconnected_graphs_and_isolated_nodes_are_accepted(self, pairs: list[list[int]]):
        edges = undirected(torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T, 6)
        assert edges.shape == (2, len(pairs))
        assert graph_task(edges).nodes_only


def test_splits_of_a_node_task_must_have_all_nodes():
    task = graph_task(torch.tensor([[0], [1]]))
    fewer = Split(task.test.x[:5], task.test.y[:5])
    with refused(ValueError, "y = -1"):
        Task("tiny", task.train, task.validation, fewer, 2, edge_index=task.edge_index)


def parts(task: Task) -> dict[str, set[int]]:
    """The nodes of every part."""
    assert task.outer is not None
    outer = set(task.outer.tolist())
    held = {"validation": known(task.validation), "test": known(task.test)}
    return {"inner": known(task.train) - outer, "outer": outer, **held}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("karate", {}, (4, 4, 8, 18)),
        ("stochastic_blocks", {}, (18, 18, 50, 150)),
        ("stochastic_blocks", {"nodes": 72, "classes": 2}, (12, 12, 12, 36)),
        ("stochastic_blocks", {"nodes": 577, "classes": 16}, (96, 96, 96, 288)),
    ],
)
def test_parts_have_the_documented_sizes_and_shares_of_every_class(
    name: str, options: dict[str, int], sizes: tuple[int, ...], seed: int
):
    task = load_task(name, seed, **options)
    nodes = parts(task)
    assert tuple(map(len, nodes.values())) == sizes
    classes = torch.stack((task.train.y, task.validation.y, task.test.y)).amax(dim=0)
    for part in nodes.values():
        counts = classes[sorted(part)].bincount(minlength=task.num_classes)
        assert counts.max() - counts.min() <= (0 if name == "karate" else 2)
        assert counts.min() > 0
    other = load_task(name, 99, **options)
    first = parts(other)
    assert nodes["test"] == first["test"]
    assert all(nodes[part] != first[part] for part in ("inner", "outer", "validation"))
    if name == "stochastic_blocks":
        for split in (task.train, task.validation, task.test):
            there = sorted(known(split))
            assert split.y[there].tolist() == [v % task.num_classes for v in there]


def test_karate_is_zacharys_club():
    """Its instructor (0) has 16 friends, its president (33) has 17; 17 members follow either."""
    task: Any = load_task("karate")
    assert torch.equal(task.train.x, torch.eye(34))
    assert task.edge_index.shape == (2, 78)
    degrees = task.edge_index.flatten().bincount()
    assert (degrees[0], degrees[33], degrees.min()) == (16, 17, 1)
    everyone = torch.cat([split.y for split in (task.train, task.validation, task.test)])
    assert everyone[everyone >= 0].bincount().tolist() == [17, 17]


def neighbors_by_class(task: Any, classes: np.ndarray) -> np.ndarray:
    """How many neighbours of each class (K) every node (n) has."""
    i, j = task.edge_index.numpy()
    counts = np.zeros((len(classes), task.num_classes))
    np.add.at(counts, (i, classes[j]), 1)
    np.add.at(counts, (j, classes[i]), 1)
    return counts


def documented(data: StochasticBlocks) -> tuple[float, float]:
    """The figures A and B of the docstring, by its formulas on a grid."""
    others, a = data.classes - 1, data.signal / np.sqrt(2)
    z, step = np.linspace(-9, 9, 3001, retstep=True)
    q = data.degree_between / others
    unit = np.log(data.degree_within / q)
    features = (norm.pdf(z - a) * norm.cdf(z) ** others).sum() * step
    k = np.arange(40)[:, None]
    t = k * unit + a**2 + a * z
    below = sum(poisson.pmf(j, q) * norm.cdf((t - j * unit) / a) for j in range(30))
    oracle = (poisson.pmf(k, data.degree_within) * norm.pdf(z) * below**others).sum() * step
    return float(features), float(oracle)


def measured(data: StochasticBlocks) -> tuple[float, float]:
    """The accuracies of Bayes' rule on the generated data, from densities and binomials."""
    task = data.load(np.random.default_rng(0))
    classes = np.arange(data.nodes) % data.classes
    means = np.eye(data.classes, 16) * data.signal / np.sqrt(2)
    x = task.train.x.double().numpy()
    features = np.stack([multivariate_normal.logpdf(x, mean) for mean in means], axis=1)
    size = data.nodes / data.classes
    within, between = data.degree_within / (size - 1), data.degree_between / (data.nodes - size)
    counts = neighbors_by_class(task, classes)
    scores = features.copy()
    for label in range(data.classes):
        rates = np.where(np.arange(data.classes) == label, within, between)
        scores[:, label] += binom.logpmf(counts, round(size), rates).sum(axis=1)
    alone, oracle = ((score.argmax(axis=1) == classes).mean() for score in (features, scores))
    return float(alone), float(oracle)


class TestStochasticBlocks:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"nodes": 3_000, "classes": 2, "signal": 1.0},
            {"nodes": 3_000, "classes": 5, "degree_within": 4.0, "degree_between": 6.0},
        ],
    )
    def test_the_stated_accuracies_are_those_of_bayes_rule(self, options: dict[str, Any]):
        """Within three standard errors of as many nodes; those of the docstring by default."""
        data = StochasticBlocks(**options)
        for stated, accuracy in zip(documented(data), measured(data), strict=True):
            error = np.sqrt(stated * (1 - stated) / data.nodes)
            assert abs(accuracy - stated) < 3 * error
            assert options or f"{100 * stated:.1f} % by default" in str(StochasticBlocks.__doc__)

    def test_nodes_have_the_chosen_mean_numbers_of_neighbors(self):
        data = StochasticBlocks(nodes=4_000, classes=4, degree_within=7.5, degree_between=3.0)
        classes = np.arange(data.nodes) % data.classes
        counts = neighbors_by_class(data.load(np.random.default_rng(0)), classes)
        within = counts[np.arange(data.nodes), classes]
        for degrees, mean in ((within, 7.5), (counts.sum(axis=1) - within, 3.0)):
            assert degrees.mean() == pytest.approx(mean, abs=3 * np.sqrt(2 * mean / data.nodes))

    @pytest.mark.parametrize(
        ("name", "value", "others"),
        [
            ("nodes", 107, {}),
            ("nodes", 5_001, {}),
            ("classes", 1, {}),
            ("classes", 17, {"nodes": 5_000}),
            ("degree_within", 99.5, {}),
            ("degree_between", 201.0, {}),
            ("degree_within", -1.0, {}),
            ("signal", float("inf"), {}),
        ],
    )
    def test_options_that_do_not_fit_are_refused(
        self, name: str, value: float, others: dict[str, Any]
    ):
        with refused(ValidationError, name, value):
            StochasticBlocks(**{name: value}, **others)

    def test_the_extremes_are_a_graph_without_edges_and_a_complete_one(self):
        for within, between, edges in ((0.0, 0.0, 0), (99.0, 200.0, 300 * 299 // 2)):
            degrees = {"degree_within": within, "degree_between": between}
            task: Any = load_task("stochastic_blocks", **degrees)
            assert task.edge_index.shape == (2, edges)
