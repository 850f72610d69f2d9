"""What a line of the table says."""

import pytest
from benchmarks.measurements import Measurement


@pytest.mark.parametrize("is_cost", [False, True])
def test_ratio_is_the_median_over_pairs(is_cost: bool):
    """A machine that is busy in one round slows both of a pair."""
    result = Measurement("a", 1, [1.0, 1.0, 10.0], "b", [2.0, 3.0, 25.0], is_cost)
    assert result.ratio == pytest.approx(0.4 if is_cost else 2.5)
    assert result.plain()["ratio_is"] == ("times the cost" if is_cost else "times as fast")


def test_ratio_with_fewer_rounds_of_the_reference_is_that_of_medians():
    assert Measurement("a", 1, [1.0, 2.0, 6.0], "b", [8.0]).ratio == 4


@pytest.mark.parametrize(
    ("compared", "is_cost", "target", "met"),
    [
        ([6.0], False, 3.0, True),
        ([6.0], False, 4.0, False),
        ([1.0], True, 3.0, True),
        ([1.0], True, 2.0, False),
        ([], False, 3.0, True),
        ([], False, 2.0, False),
        ([6.0], False, None, None),
    ],
)
def test_target_is_reached_from_its_side(
    compared: list[float], is_cost: bool, target: float | None, met: bool | None
):
    assert Measurement("a", 1, [2.0], "b", compared, is_cost, target).met is met
