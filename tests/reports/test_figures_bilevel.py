"""Figures of hypergradients show what was stored, fit what they say, and hide no overflow."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from read_figures import drawn, texts

from lapbench.reports.figures import bilevel_fig1
from lapbench.reports.figures.bilevel_fig1 import decay, describe_bound
from lapbench.reports.results import Results


class TestDecay:
    DISTANCE = np.repeat([1.0, 2, 3, 4], 7)

    def exponential(self) -> np.ndarray[Any, Any]:
        return 0.5 * 0.1**self.DISTANCE

    def test_fit_of_an_exponential_is_exact_whatever_the_signs(self):
        signs = np.where(np.arange(28) % 2, 1.0, -1.0)
        fit = decay(signs * self.exponential(), self.DISTANCE)
        assert fit is not None
        assert fit.factor == pytest.approx(0.1)
        assert fit.level == pytest.approx(0.5)
        assert (fit.first, fit.last) == (1, 4)

    def test_it_is_the_median_that_is_fitted(self):
        gradient = self.exponential()
        gradient[self.DISTANCE == 2] *= [1, 1, 1, 1, 1000, 0.001, 0.002]
        assert decay(gradient, self.DISTANCE) == decay(self.exponential(), self.DISTANCE)

    @pytest.mark.parametrize(
        ("gradient", "distance"),
        [
            ([9.0] * 4, [5.0] * 4),
            ([9.0] * 9, [np.inf] * 9),
            # At distance 5 six edges are rounding; the other four are too few.
            ([0.0] * 3 + [1e-15] * 3 + [0.01] * 4, [5.0] * 10),
            *(([value] * 9, [1.0] * 2 + [5.0] * 7) for value in (np.inf, -np.inf, np.nan)),
        ],
    )
    def test_few_edges_rounding_and_what_is_not_finite_are_left_out(
        self, gradient: list[float], distance: list[float]
    ):
        more = np.append(self.exponential(), gradient), np.append(self.DISTANCE, distance)
        assert decay(*more) == decay(self.exponential(), self.DISTANCE)

    def test_less_than_two_distances_or_zeros_alone_have_no_fit(self):
        for edges in (0, 7):
            assert decay(self.exponential()[:edges], self.DISTANCE[:edges]) is None
        assert decay(np.zeros(28), self.DISTANCE) is None


class TestBound:
    @pytest.mark.parametrize(
        ("nearest", "said"),
        [
            ([-7.0], "at most 20 at distance 2;\nlargest found 7: vacuous"),
            ([-11.0], "largest found 11"),
            *(([value, -7.0], "largest found 7: vacuous") for value in (np.inf, np.nan)),
        ],
    )
    def test_bound_at_the_smallest_distance_by_hand(self, nearest: list[float], said: str):
        """80 · (1 − 1/2)^2 = 20, and at the largest 80 · (1 − 1/2)^3 = 10; vacuous if above all."""
        gradient, distance = np.array([*nearest, 9]), np.array([2.0] * len(nearest) + [3])
        text = describe_bound(np.array([1, 2, 80]), gradient, distance)
        assert "factor 1 − 0.5 a hop" in text
        assert text.endswith(said)

    def test_unlabelled_component_has_no_bound(self):
        text = describe_bound(np.array([0, 2, np.inf]), np.ones(3), np.ones(3))
        assert text == "Theorem 4.1: no bound"


class TestBilevelFigure1:
    @staticmethod
    def results(arrays: Callable[[str], Any]) -> Results:
        rows = [
            {"task": "cora", "method": method, "repetition": n, "key": f"{method}/{n}"}
            for method in ("GNN", "Laplacian", "failed")
            for n in (0, 1)
        ]
        return Results(pd.DataFrame(rows), arrays, lambda _: {})

    @staticmethod
    def stored(key: str, reach: int = 2) -> dict[str, np.ndarray[Any, Any]]:
        """Of repetition 0, hypergradients 0.1^distance; of the GNN those beyond 1 are 0."""
        distance = np.repeat([0, 1, 2, np.inf], [6, 6, 6, 2])
        size = np.where(np.isfinite(distance), 0.1 ** np.minimum(distance, 9), 0)
        last = {"distance_000010": distance, "largest_000010": np.isfinite(distance)}
        return {
            "GNN/0": {
                "hypergradient_000010": np.where(distance < 2, -size, 0),
                "reach_000010": np.array([reach]),
                **last,
            },
            "Laplacian/0": {
                "hypergradient_000002": np.full(20, np.nan),
                "hypergradient_000010": size.astype(np.float32),
                "theorem_000010": np.array([1e-3, 1, 1e6]),
                "reach_000010": np.array([0]),
                "labels": np.zeros(20),
                **last,
            },
        }.get(key, {})

    @classmethod
    @cache
    def figure(cls) -> Figure:
        return drawn(bilevel_fig1.draw(cls.results(cls.stored)))

    def test_panels_are_the_cells_of_the_first_repetition_at_the_last_epoch(self):
        gnn, laplacian = self.figure().axes
        assert [gnn.get_title("left"), laplacian.get_title("left")] == [
            "GNN\ncora",
            "Laplacian\ncora",
        ]
        assert gnn.get_yscale() == laplacian.get_yscale() == "log"
        places, sizes = laplacian.collections[0].get_offsets().T
        assert sizes.tolist() == pytest.approx((0.1**places).tolist())
        assert len(gnn.collections[0].get_offsets()) == 12

    def test_zeros_are_counted_by_distance_and_no_distance_has_a_place(self):
        gnn, laplacian = self.figure().axes
        assert texts(gnn)[1:] == ["exactly 0", "0", "0", "6", "2"]
        assert texts(laplacian)[1:] == ["exactly 0", "0", "0", "0", "2"]
        assert [label.get_text() for label in gnn.get_xticklabels()] == ["0", "1", "2", "none"]
        assert list(gnn.get_xticks()) == [0, 1, 2, 4]

    def test_reach_is_said_of_a_network_and_decay_and_bound_of_eq_1(self):
        gnn, laplacian = self.figure().axes
        assert texts(gnn)[0] == "exactly 0 at distances ≥ 2: 100.0% of 6 edges"
        fit, *bound = texts(laplacian)[0].split("\n")
        assert fit == "factor 0.10 a hop (median), distances 0 to 2"
        assert bound[-2:] == ["at most 1e+06 at distance 0;", "largest found 1: vacuous"]

    @pytest.mark.parametrize(
        ("reach", "said"), [(0, ""), (1, "exactly 0 at distances ≥ 1: 50.0% of 12 edges"), (3, "")]
    )
    def test_share_of_zeros_is_that_beyond_the_reach_if_there_is_one(self, reach: int, said: str):
        figure = drawn(bilevel_fig1.draw(self.results(lambda key: self.stored(key, reach))))
        assert texts(figure.axes[0])[0] == said

    def test_medians_are_of_what_is_not_rounding(self):
        size = np.array([0.3, 0.1, 0.2, 0, 1e-15, 1e-16, 1e-17, 1e-18])
        distance = np.array([1.0, 1, 1, 1, 1, 1, 2, 2])
        stored = {"hypergradient_9": size, "distance_9": distance, "reach_9": np.array([2])}
        result = bilevel_fig1.draw(self.results(lambda key: stored if key == "GNN/0" else {}))
        diamonds = [line for line in drawn(result).axes[0].lines if line.get_marker() == "D"]
        assert [diamond.get_xydata().tolist() for diamond in diamonds] == [[[1, 0.2]]]

    @pytest.mark.parametrize("value", [0.0, np.nan])
    def test_nothing_that_a_logarithm_can_show_is_said(self, value: float):
        distance, reach = np.array([1.0, 2, np.inf]), np.array([2])
        stored = {"hypergradient_9": np.full(3, value), "distance_9": distance, "reach_9": reach}
        ax = drawn(bilevel_fig1.draw(self.results(lambda key: stored if key == "GNN/0" else {})))
        zeros = "0" if np.isnan(value) else "1"
        assert texts(ax.axes[0])[1:] == ["exactly 0", zeros, zeros, zeros]
        assert ("not finite, left out: 3 edges" in texts(ax.axes[0])[0]) == np.isnan(value)

    def test_nothing_stored_gives_no_figure(self):
        assert bilevel_fig1.draw(self.results(lambda _: {"labels": np.zeros(3)})) is None
