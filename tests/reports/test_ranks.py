"""Tests across data sets equal printed tables, SciPy's and an independent package's."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from expect_refusal import refused
from make_frames import plain_frame
from scipy import stats

from lapbench.reports.statistics.ranks import (
    critical_difference,
    describe,
    friedman,
    mean_accuracies,
    nemenyi,
    obstacle,
)


def table(number: int, methods: int, step: float = 0.3, digits: int = 9) -> pd.DataFrame:
    """Random accuracies of methods, each better than the one before it on most data sets."""
    random = np.random.default_rng(number)
    values = random.normal(size=(number, methods)) + step * np.arange(methods)
    return pd.DataFrame(values.round(digits), columns=[f"m{place}" for place in range(methods)])


def in_order(number: int, methods: int) -> pd.DataFrame:
    """The same order on all data sets: the first method is the best."""
    return pd.DataFrame([-np.arange(methods)] * number, columns=list("abcdefgh"[:methods]))


def records(cells: list[tuple[str, str, str, list[float | None]]], **more: Any) -> pd.DataFrame:
    """A tidy frame of task, backbone, method and accuracies; None is a failed cell."""
    frames = [plain_frame(task, backbone, **{method: own}) for task, backbone, method, own in cells]
    return pd.concat(frames or [plain_frame()]).assign(**more)


class TestFriedman:
    @pytest.mark.parametrize("digits", [9, 0])
    @pytest.mark.parametrize(("number", "methods"), [(5, 3), (14, 4), (30, 7)])
    def test_it_is_scipys_in_the_form_of_iman_and_davenport(
        self, number: int, methods: int, digits: int
    ):
        """Rounded to integers, values have many ties."""
        given = table(number, methods, digits=digits)
        squares = stats.friedmanchisquare(*given.to_numpy().T).statistic
        expected = (number - 1) * squares / (number * (methods - 1) - squares)
        result = friedman(given)
        assert result.statistic == pytest.approx(expected)
        assert (result.between, result.within) == (methods - 1, (methods - 1) * (number - 1))
        assert result.p == pytest.approx(stats.f.sf(expected, result.between, result.within))

    def test_p_is_never_smaller_than_the_chance_of_the_same_order_everywhere(self):
        result = friedman(in_order(3, 3))
        assert math.isinf(result.statistic)
        assert result.p == pytest.approx(1 / 36)

    def test_methods_that_tie_everywhere_do_not_differ(self):
        result = friedman(0 * in_order(5, 3))
        assert (result.statistic, result.p) == (0, 1)

    def test_it_does_not_depend_on_rounding(self):
        given = table(6, 4, digits=0)
        noise = 1e-15 * np.random.default_rng(0).normal(size=given.shape)
        assert friedman(given + noise) == friedman(given)


class TestNemenyi:
    @pytest.mark.parametrize(
        ("methods", "q"),
        list(enumerate([2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], 3)),
    )
    def test_the_quantiles_are_printed(self, methods: int, q: float):
        """J. Demšar, JMLR 7 (2006), table 5a."""
        unit = math.sqrt(methods * (methods + 1) / (6 * 20))
        assert critical_difference(20, methods) / unit == pytest.approx(q, abs=1.1e-3)

    def test_a_critical_difference_is_printed(self):
        """The same, section 3.2.2: four methods on 14 data sets."""
        assert critical_difference(14, 4) == pytest.approx(1.25, abs=5e-3)

    @pytest.mark.parametrize(
        ("number", "methods", "digits"), [(10, 3, 9), (14, 4, 9), (30, 7, 9), (30, 7, 0)]
    )
    def test_it_tells_apart_what_scikit_posthocs_does(self, number: int, methods: int, digits: int):
        given = table(number, methods, step=1, digits=digits)
        p = scikit_posthocs.posthoc_nemenyi_friedman(given)
        result = nemenyi(given)
        for one in given.columns:
            for other in given.columns.drop(one):
                together = any({one, other} <= set(clique) for clique in result.cliques)
                assert together == (p.loc[one, other] >= 0.05)
        assert not all(len(clique) == methods for clique in result.cliques)

    def test_mean_ranks_by_hand_with_ties(self):
        given = pd.DataFrame({"a": [0.9, 0.8, 0.7], "b": [0.9, 0.7, 0.7], "c": [0.8, 0.6, 0.7]})
        result = nemenyi(given).mean_ranks
        assert list(result) == ["a", "b", "c"]
        assert list(result.values()) == pytest.approx([4.5 / 3, 5.5 / 3, 8 / 3])

    def test_cliques_by_hand(self):
        """Ranks 1, 2, 3, 4 on seven data sets: CD = 2.569·√(20/42) = 1.77."""
        assert nemenyi(in_order(7, 4)).cliques == [("a", "b"), ("b", "c"), ("c", "d")]

    def test_where_friedman_rejects_nothing_all_are_one_clique(self):
        """Orders in turn, then the first and last fixed: 3 ranks apart, where CD = 2.81."""
        turns = [np.roll(range(8), turn) for turn in range(8)]
        turns += [np.array([0, *np.roll(range(1, 7), turn), 7]) for turn in range(6)]
        given = pd.DataFrame(turns, columns=list("abcdefgh"))
        ranks = nemenyi(given).mean_ranks
        assert ranks["a"] - ranks["h"] == pytest.approx(3)
        assert critical_difference(14, 8) < 3
        assert friedman(given).p > 0.05
        (clique,) = nemenyi(given).cliques
        assert set(clique) == set(given.columns)

    @pytest.mark.parametrize(("number", "low"), [(9, True), (10, False)])
    def test_fewer_than_ten_data_sets_are_marked(self, number: int, low: bool):
        assert nemenyi(table(number, 3)).low_power == low


@pytest.mark.parametrize("methods", [3, 4, 12, 30])
def test_three_data_sets_suffice_and_two_do_not(methods: int):
    assert not obstacle(pd.DataFrame(np.zeros((3, methods))))
    assert "2 data sets" in obstacle(pd.DataFrame(np.zeros((2, methods))))


@pytest.mark.parametrize(("shape", "reason"), [((9, 2), "2"), ((1, 9), "1"), ((0, 9), "0")])
def test_too_small_a_table_is_refused(shape: tuple[int, int], reason: str):
    given = pd.DataFrame(np.zeros(shape))
    assert obstacle(given).endswith(f"there are {reason}")
    for test in (friedman, nemenyi):
        with refused(ValueError, "table", f"{shape[0]} data sets", f"{shape[1]} methods"):
            test(given)


class TestMeans:
    def test_they_are_over_repetitions_of_finished_methods(self):
        (result,) = mean_accuracies(
            records(
                [
                    ("one", "mlp", "gll", [0.7, 0.9]),
                    ("two", "gnn", "gll", [0.5, 0.6]),
                    ("one", "mlp", "svm", [0.7, None]),
                    ("two", "gnn", "svm", [0.5, math.inf]),
                    ("one", "mlp", "wnll", [0.9, 0.9]),
                ]
            )
        )
        assert result.table.to_dict() == {"gll": pytest.approx({"one": 0.8, "two": 0.55})}
        assert result.left_out == [
            "svm (1 of 2 cells on one with mlp, 1 of 2 cells on two with gnn)",
            "wnll (not planned on two with gnn)",
        ]

    def test_a_data_set_counts_once(self):
        """Over tasks and backbones, each with the same weight."""
        (result,) = mean_accuracies(
            records(
                [
                    ("digits (labeled=50)", "mlp", "gll", [0.6, 0.6]),
                    ("digits (labeled=100)", "mlp", "gll", [0.7]),
                    ("digits (labeled=100)", "cnn", "gll", [0.8]),
                ]
            )
        )
        assert result.table.to_dict() == {"gll": pytest.approx({"digits": 0.7})}

    def test_a_task_that_nobody_finished_leaves_out_no_method(self):
        (result,) = mean_accuracies(
            records([("one", "mlp", "gll", [0.7]), ("two", "mlp", "gll", [None])])
        )
        assert result.table.shape == (1, 1)
        assert result.left_out == ["two with mlp (no result)"]

    def test_kinds_of_training_are_apart_and_attacks_left_out(self):
        cells = [("one", "mlp", "gll", [0.7])]
        frames = [
            records(cells),
            records(cells, training="pgd", value=0.6),
            records(cells, attack="pgd", value=0.1),
        ]
        result = mean_accuracies(pd.concat(frames))
        assert [(each.training, each.table.loc["one", "gll"]) for each in result] == [
            ("natural", 0.7),
            ("pgd", 0.6),
        ]

    def test_nothing_finished_and_nothing_planned(self):
        (result,) = mean_accuracies(records([("one", "mlp", "gll", [None, None])]))
        assert obstacle(result.table)
        assert mean_accuracies(records([])) == []


def words(given: pd.DataFrame) -> str:
    """What is said of a table, where a further method failed on the first data set."""
    cells = [
        (f"set {number}", "mlp", str(method), [float(value)])
        for number, row in given.iterrows()
        for method, value in row.items()
    ]
    (result,) = mean_accuracies(records([*cells, ("set 0", "mlp", "svm", [None])]))
    return describe(result)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            in_order(4, 4),
            [
                "Across data sets, natural training: N = 4 data sets, k = 4 methods",
                "F(3, 9) = ∞, p = 7.2e-05) rejects",
                "differ by 2.35 or more.",
                "a 1.00, b 2.00, c 3.00, d 4.00. Left out: svm (0 of 1 cells on set 0",
                "Low power",
            ],
        ),
        (table(12, 4, step=0), ["does not reject"]),
        (in_order(2, 4), ["natural training: no test, as 2 data sets", "Left out: svm (0 of 1"]),
    ],
)
def test_words_name_numbers_ranks_and_who_is_left_out(given: pd.DataFrame, said: list[str]):
    text = words(given)
    assert [each for each in said if each not in text] == []
