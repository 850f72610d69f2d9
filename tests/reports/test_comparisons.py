"""The table of comparisons has the numbers and verdicts of the tests, as computed by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from make_frames import plain_frame

from lapbench.reports.statistics.comparisons import COLUMNS, comparisons, readable_comparisons

BEST = np.array([0.95, 0.96, 0.97, 0.96, 0.95])
STEPS = np.array([0.01, 0.02, 0.03, 0.04, 0.05])


def test_values_that_are_not_finite_are_left_out():
    good = [*BEST, math.inf]
    bad = [0.91, 0.92, math.nan, 0.90, 0.89, 0.90]
    table = comparisons(plain_frame(good=good, bad=bad, none=[math.nan] * 6))
    verdicts = dict(zip(table["method"], table["verdict"], strict=True))
    assert verdicts == {"good": "best", "bad": "too few seeds", "none": "too few seeds"}
    assert list(table["not_finite"]) == [1, 1, 6]
    texts = ["5 (1 not finite)", "4 (1 not finite)", "0 (6 not finite)"]
    assert list(readable_comparisons(table)["repetitions"]) == texts


def test_numbers_by_hand_on_every_task():
    """Differences of −1 to −5 points: t(0.975; 4) = 2.776445, √(2.5/5); p = 0.0132."""
    frame = plain_frame(worse=[*(BEST - STEPS)], gll=[*BEST])
    other = plain_frame(gll=[*(BEST - STEPS)], worse=[*BEST]).assign(task="letters")
    table = comparisons(pd.concat([frame, other]))
    assert list(table["task"]) == ["digits"] * 2 + ["letters"] * 2
    assert list(table["method"]) == ["gll", "worse", "worse", "gll"]
    assert list(table["verdict"]) == ["best", "worse (p = 0.013)"] * 2
    row = table.iloc[1]
    assert (row["best"], row["repetitions"]) == ("gll", 5)
    assert row["difference"] == pytest.approx(-3)
    assert row["ci_high"] - row["difference"] == pytest.approx(2.776445 * math.sqrt(0.5))
    assert row["p"] == row["p_holm"] == pytest.approx(0.0132, abs=1e-4)
    assert math.isnan(row["p_wilcoxon"])


def test_texts_by_hand():
    best = [*BEST, 0.95]
    worse = [*(BEST - STEPS), 0.95 - 0.06]
    texts = readable_comparisons(comparisons(plain_frame(worse=worse, few=[0.99] * 4, gll=best)))
    assert texts.drop(columns=["task", "backbone", "training"]).to_numpy().tolist() == [
        ["gll", "gll", "–", "6", "–", "–", "–", "best"],
        ["few", "gll", "3.00 ± 1.30", "4", "–", "–", "–", "too few seeds"],
        ["worse", "gll", "−3.50 ± 1.96", "6", "0.0059", "0.0059", "0.031", "worse"],
    ]


def test_without_a_best_nothing_is_compared():
    texts = readable_comparisons(comparisons(plain_frame(a=[0.9] * 4, b=[0.1] * 4)))
    assert list(texts["best"]) == list(texts["difference [points]"]) == ["–", "–"]
    assert list(texts["repetitions"]) == ["4", "4"]


def test_no_record_gives_an_empty_table():
    table = comparisons(plain_frame())
    assert list(table.columns) == COLUMNS
    assert readable_comparisons(table).empty


def test_numbers_under_attack_and_other_metrics_are_left_out():
    frame = plain_frame(gll=[0.9] * 5)
    others = [frame.assign(attack="pgd"), frame.assign(metric="last_step_accuracy")]
    assert comparisons(pd.concat([frame, *others]))["repetitions"].tolist() == [5]
