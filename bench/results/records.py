"""Records: one JSON file for every cell, written whole or not at all."""

import json
from dataclasses import field
from typing import Any, Literal

from lapbench.datasets.base.validated import validated
from lapbench.measure.timing import Timing
from lapbench.results.provenance import Provenance
from lapbench.robustness.assess import AttackRun
from lapbench.robustness.gradient_masking import Check
from lapbench.suite.cells import Cell
from lapbench.training.metrics import Metric

Status = Literal["ok", "diverged", "skipped", "failed"]
FINAL: tuple[Status, ...] = ("ok", "diverged", "skipped")


@validated
class Record:
    """Result of a cell.

    Two runs of one key on one machine agree bit for bit in everything but ``timing`` and
    ``provenance``.

    Attributes:
        schema: version of this layout.
        key: hash of cell, method version and data.
        cell: configuration.
        gradient: how the method obtains its training gradient.
        status: "failed" is tried again in the next run, all others are final.
        reason: why the status is not "ok".
        traceback: of a failed cell.
        warnings: distinct warnings during the cell.
        metrics: numbers on the evaluated split.
        curves: numbers after every epoch, up to the last before a divergence; None where a method
            had none.
        attacks: outcome of each attack on the trained model.
        flags: checks for hidden gradients.
        timing: of a trained model.
        provenance: code, packages, machine, time.

    Raises:
        ValueError: if the status is "ok" and metrics or timing are missing.

    """

    schema: int
    key: str
    cell: Cell
    gradient: str
    status: Status
    provenance: Provenance
    reason: str | None = None
    traceback: str | None = None
    warnings: list[str] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    curves: dict[str, list[float | None]] = field(default_factory=dict)
    attacks: list[AttackRun] = field(default_factory=list)
    flags: list[Check] = field(default_factory=list)
    timing: Timing | None = None

    def __post_init__(self) -> None:
        if self.status == "ok" and not (self.metrics and self.timing):
            raise ValueError("status: received 'ok'; metrics and timing must be there")

    @property
    def is_final(self) -> bool:
        """Whether the cell need not run again: it did not fail, nor did an attack on it."""
        return self.status in FINAL and not self.failed_attacks()

    def failed_attacks(self) -> list[AttackRun]:
        """Attacks on the trained model that failed."""
        return [attack for attack in self.attacks if attack.status == "failed"]


def indented(content: Any, depth: int = 1) -> str:
    """Nested tables as indented lines."""
    lines = []
    for name, value in content.items():
        if isinstance(value, dict) and value:
            lines += [f"{'  ' * depth}{name}:", indented(value, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines)
