"""The figure of unrolled hypergradients shows what was stored, and hides no overflow."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from read_figures import drawn, legend, texts, titles

from lapbench.reports.figures import hypergradients
from lapbench.reports.figures.hypergradients import compared, settings
from lapbench.reports.results import Results

Numbers = dict[str, float]

OVERFLOWN = {"hypergradient_megabytes": 8.0, "stage: hypergradient": 2.0}
UNROLLED = {**OVERFLOWN, "hypergradient_error": 0.5, "hypergradient_cosine": 0.9}


def table(*cells: tuple[dict[str, Any], Numbers], repetition: int = 0) -> pd.DataFrame:
    """Records of finished cells with these parameters and numbers, named as in a report."""
    names = [", ".join(f"{name}={value}" for name, value in c.items()) for c, _ in cells]
    return pd.DataFrame(
        {
            "task": "cora",
            "method": f"bilevel ({name})",
            "gradient": parameters["hypergradient"],
            "repetition": repetition,
            "key": f"{name}/{repetition}",
            "status": "ok",
            "metric": metric,
            "value": value,
        }
        for (parameters, numbers), name in zip(cells, names, strict=True)
        for metric, value in numbers.items()
    )


def unrolled(steps: int, numbers: Numbers, **more: Any) -> tuple[dict[str, Any], Numbers]:
    """A cell with an unrolled hypergradient."""
    return {"hypergradient": "unrolled", "inner_steps": steps, **more}, numbers


def figure(records: pd.DataFrame) -> Figure | None:
    return hypergradients.draw(Results(records, lambda _: {}, lambda _: {}))


IMPLICIT = (
    {"hypergradient": "implicit", "inner_steps": 500, "inner_start": 1.0},
    {"hypergradient_megabytes": 0.25, "stage: hypergradient": 0.125},
)


class TestHypergradients:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("bilevel", {}),
            ("bilevel (inner_steps=100)", {"inner_steps": 100}),
            (
                "bilevel (inner_optimizer=heavy-ball, c=1e-05, d=0.1)",
                {"inner_optimizer": "heavy-ball", "c": 1e-5, "d": 0.1},
            ),
            ('bilevel (a="x, y (z)", b=[1, 2])', {"a": "x, y (z)", "b": [1, 2]}),
            ("bilevel (a=x (y), b=2-ply, c=None)", {"a": "x (y)", "b": "2-ply", "c": "None"}),
            ("bilevel + dropout (bilevel.k=5, dropout.rate=0.5)", {"k": 5, "rate": 0.5}),
        ],
    )
    def test_settings_are_read_from_the_name(self, name: str, expected: dict[str, Any]):
        assert settings(name) == expected

    def test_what_overflowed_has_an_infinite_error_and_networks_are_left_out(self):
        cells = compared(
            table(
                IMPLICIT,
                unrolled(10, UNROLLED),
                unrolled(20, OVERFLOWN),
                unrolled(20, OVERFLOWN, inner="network"),
            )
        ).set_index(["gradient", "inner_steps"])["hypergradient_error"]
        expected = {("implicit", 500): np.nan, ("unrolled", 10): 0.5, ("unrolled", 20): np.inf}
        assert cells.to_dict() == pytest.approx(expected, nan_ok=True)

    def test_lines_are_medians_and_overflow_is_a_gap_with_its_count(self):
        """Errors 0.5, 0.5, 4 at 10 steps, and of two of three an overflow at 100."""
        records = pd.concat(
            table(
                IMPLICIT,
                unrolled(10, {**UNROLLED, "hypergradient_error": error}),
                unrolled(100, at_100),
                repetition=repetition,
            )
            for repetition, (error, at_100) in enumerate(
                [(0.5, OVERFLOWN), (0.5, UNROLLED), (4, OVERFLOWN)]
            )
        )
        error, cosine, time, memory = drawn(figure(records)).axes
        assert list(error.lines[0].get_xdata()) == [10, 100]
        np.testing.assert_array_equal(error.lines[0].get_ydata(), [0.5, np.nan])
        assert texts(error) == ["overflow", "2/3"]
        assert list(cosine.lines[0].get_ydata()) == [0.9, 0.9]
        assert list(time.lines[0].get_ydata()) == [2, 2]
        assert list(memory.lines[0].get_ydata()) == [8, 8]

    def test_implicit_is_level_in_time_and_memory(self):
        records = table(IMPLICIT, unrolled(10, UNROLLED), unrolled(20, UNROLLED))
        _, cosine, time, memory = drawn(figure(records)).axes
        assert len(cosine.lines) == 1
        assert list(time.lines[1].get_ydata()) == [0.125, 0.125]
        assert list(memory.lines[1].get_ydata()) == [0.25, 0.25]

    def test_errors_above_the_limit_are_triangles_on_it(self):
        large = {**UNROLLED, "hypergradient_error": 1e30}
        error = drawn(figure(table(unrolled(10, UNROLLED), unrolled(20, large)))).axes[0]
        assert list(error.lines[0].get_ydata()) == [0.5, hypergradients.LIMIT]
        inside, above = (points.get_offsets().tolist() for points in error.collections)
        assert (inside, above) == ([[10, 0.5]], [[20, hypergradients.LIMIT]])
        assert error.get_ylim()[1] < 1e7

    def test_optimisers_are_colours_precisions_styles_and_starts_columns(self):
        records = table(
            *(
                unrolled(10, UNROLLED, **more, precision=precision, inner_start=start)
                for more in (
                    {"inner_optimizer": "adam", "inner_learning_rate": 0.1},
                    {"inner_optimizer": "heavy-ball", "inner_learning_rate": 3.0},
                )
                for precision in ("float32", "float64")
                for start in (0.0, 0.1)
            )
        )
        result = drawn(figure(records))
        starts = ["cora\nstart: zeros", "cora\nstart: normal, σ = 0.1"]
        assert titles(result.axes[:2]) == starts
        cosine = result.axes[2]
        styles = [(line.get_color(), line.get_linestyle()) for line in cosine.lines]
        assert len(set(styles)) == 4
        assert {style for _, style in styles} == {"-", "--"}
        assert legend(result) == ["adam, rate 0.1", "heavy-ball, rate 3/L", "float64", "float32"]

    def test_truncated_hypergradients_have_lines_of_their_own(self):
        truncated = {"hypergradient": "truncated", "inner_steps": 10, "truncation": 5}
        result = drawn(figure(table(unrolled(10, UNROLLED), (truncated, UNROLLED))))
        assert legend(result) == ["last 5 steps", "unrolled"]

    def test_no_comparison_or_unnamed_inner_steps_give_no_figure(self):
        assert figure(table(IMPLICIT, unrolled(10, OVERFLOWN))) is None
        records = table(IMPLICIT, unrolled(10, UNROLLED))
        assert figure(records.assign(method="a label")) is None
