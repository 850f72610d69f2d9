"""What was measured against which target, as a line of the table and in the stored file."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture


@dataclass(frozen=True)
class Measurement:
    """One line: a ratio that should reach its target, or without a reference a limit.

    Without a target it is only shown.

    Attributes:
        what: what was measured.
        nodes: n, or how many samples the batch has.
        lapbench: a number for each round.
        reference: what it is compared with.
        compared: a number for each round, or fewer where the reference takes minutes.
        is_cost: whether the ratio is ours over the reference's, to be below the target; else it is
            the reference's over ours, to reach the target.
        target: of the ratio, or without a reference of the number itself, which is to be below it.
        between_classes: share of the graph's edges that join two classes.
        unit: of the numbers.
        iterations: of the solve, Newton's if it is nonlinear; of all linear solves of a training
            step or a gradient together; of an attack, its passes. None where there are none.
        residual: relative, the largest of these solves.

    """

    what: str
    nodes: int
    lapbench: Sequence[float]
    reference: str = ""
    compared: Sequence[float] = ()
    is_cost: bool = False
    target: float | None = None
    between_classes: float | None = None
    unit: str = "s"
    iterations: int | None = None
    residual: float | None = None

    @property
    def ratio(self) -> float | None:
        """The median over the rounds, pair by pair where each has its own reference."""
        if not self.compared:
            return None
        ours, theirs = list(self.lapbench), list(self.compared)
        if len(ours) != len(theirs):
            ours, theirs = [statistics.median(ours)], [statistics.median(theirs)]
        cost = [own / other for own, other in zip(ours, theirs, strict=True)]
        return statistics.median(cost if self.is_cost else [1 / ratio for ratio in cost])

    @property
    def direction(self) -> str:
        """How the ratio is to be read."""
        if self.is_cost:
            return "the cost"
        return "as fast" if self.unit == "s" else "less"

    @property
    def met(self) -> bool | None:
        """Whether the target is reached. A miss is reported, and fails no test."""
        if self.target is None:
            return None
        if self.ratio is None:
            return statistics.median(self.lapbench) < self.target
        return self.ratio < self.target if self.is_cost else self.ratio >= self.target

    def line(self) -> list[str]:
        """The cells of a table's line."""
        limit = "" if self.target is None else f"under {self.target:g}"
        if self.ratio is None and limit:
            limit += f" {self.unit}"
        elif limit and not self.is_cost:
            limit = f"at least {self.target:g}"
        return [
            self.what,
            f"{self.nodes:,}",
            "" if self.between_classes is None else f"{self.between_classes:.1%}",
            quantity(self.lapbench, self.unit),
            self.reference,
            quantity(self.compared, self.unit) if self.compared else "",
            "" if self.ratio is None else f"{self.ratio:.1f} × {self.direction}",
            limit,
            {None: "", True: "yes", False: "MISSED"}[self.met],
        ]

    def plain(self) -> dict[str, Any]:
        """Its numbers by themselves, medians over the rounds."""
        compared = statistics.median(self.compared) if self.compared else None
        return {
            "what": self.what,
            "nodes": self.nodes,
            "iterations": self.iterations,
            "residual": self.residual,
            "seconds": statistics.median(self.lapbench),
            "reference": self.reference,
            "reference_seconds": compared,
            "ratio": self.ratio,
            "ratio_is": f"times {self.direction}" if self.compared else "",
        }


HEADERS = ["", "n", "between classes", "lapbench", "reference", "", "ratio", "target", "met"]
MEASUREMENTS = pytest.StashKey[list[Measurement]]()


def quantity(values: Sequence[float], unit: str) -> str:
    """The median with its unit."""
    value = statistics.median(values)
    if unit == "s" and value < 1:
        return f"{1000 * value:.2f} ms"
    return f"{value:,.0f} {unit}" if unit == "MB" else f"{value:.2f} {unit}"


class Recorder:
    """Takes measurements for the table, and for the file that pytest-benchmark stores.

    There the first of a benchmark, which is its time, stands by itself, and all stand in a list
    with the numbers of every round.
    """

    def __init__(self, config: pytest.Config, benchmark: BenchmarkFixture):
        self._table = config.stash.setdefault(MEASUREMENTS, [])
        self._stored = benchmark.extra_info

    def __call__(self, what: str, nodes: int, **values: Any) -> None:
        """Add one; `values` are the other fields of a Measurement."""
        result = Measurement(what, nodes, **values)
        self._table.append(result)
        if not self._stored:
            self._stored.update(result.plain() | {"measurements": []})
        whole = {**asdict(result), "ratio": result.ratio, "met": result.met}
        self._stored["measurements"].append(whole)
