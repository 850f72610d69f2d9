"""What was measured against which target, as a line of the table and in the stored file."""

from dataclasses import asdict, dataclass
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture


@dataclass(frozen=True)
class Measurement:
    """One line: a ratio that should reach its target, or without a comparator a limit.

    Without a target it is only shown.
    """

    what: str
    nodes: int
    lapbench: float
    target: float | None = None
    between_classes: float | None = None
    unit: str = "s"
    comparator: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the comparator's time is ours."""
        return None if self.comparator is None else self.comparator / self.lapbench

    @property
    def met(self) -> bool | None:
        """Whether the target is reached. A miss is reported, and fails no test."""
        if self.target is None:
            return None
        return self.lapbench < self.target if self.ratio is None else self.ratio >= self.target

    def line(self) -> list[str]:
        """The cells of a table's line."""
        size = {"MB": ".0f", "s": ".3f"}.get(self.unit, ".2f")
        compared = self.comparator is not None
        limit = f"at least {self.target}" if compared else f"under {self.target} {self.unit}"
        return [
            self.what,
            f"{self.nodes:,}",
            "" if self.between_classes is None else f"{self.between_classes:.1%}",
            f"{self.comparator:{size}} {self.unit}" if compared else "",
            f"{self.lapbench:{size}} {self.unit}",
            f"{self.ratio:.1f}" if compared else "",
            "" if self.target is None else limit,
            {None: "", True: "yes", False: "MISSED"}[self.met],
        ]


HEADERS = ["", "nodes", "between classes", "comparator", "lapbench", "ratio", "target", "met"]
MEASUREMENTS = pytest.StashKey[list[Measurement]]()


class Recorder:
    """Takes measurements for the table, and for the file that pytest-benchmark stores."""

    def __init__(self, config: pytest.Config, benchmark: BenchmarkFixture):
        self._table = config.stash.setdefault(MEASUREMENTS, [])
        self._stored = benchmark.extra_info.setdefault("measurements", [])

    def __call__(self, what: str, nodes: int, **values: Any) -> None:
        """Add one; `values` are the other fields of a Measurement."""
        found = Measurement(what, nodes, **values)
        self._table.append(found)
        self._stored.append({**asdict(found), "ratio": found.ratio, "met": found.met})
