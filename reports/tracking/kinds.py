"""The metrics that are compared between two runs, and the margin of each."""

import math
from dataclasses import dataclass
from typing import Literal

from lapbench.reports.robustness import ACCURACY

_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class Kind:
    """How the numbers of a metric are compared.

    Args:
        test: "paired": mean change over repetitions, paired t test, corrected; "each": every
            repetition by itself, without a test; "median": medians, without a test; "ranks": the
            factor between medians, Mann and Whitney's rank test.
        better: 1 where more is better, −1 where less is, 0 where neither is.
        share, least, most: the margin is the larger of share · baseline and least, but at most
            ``most``; that of a factor is 1 + share, and its inverse.
        why: what a failure means; the placeholders are the stage and the factor.

    """

    test: Literal["paired", "each", "median", "ranks"]
    better: Literal[1, 0, -1]
    share: float = 0.0
    least: float = 0.0
    most: float = math.inf
    why: str = ""

    def exceeds(self, change: float, baseline: float) -> bool:
        """Whether a change (of ranks, a factor) is beyond the margin."""
        if self.test == "ranks":
            limit = _ROUNDING * (1 + self.share)
            return change > limit or change < 1 / limit
        margin = min(max(self.share * abs(baseline), self.least), self.most)
        return abs(change) > _ROUNDING * margin


_SLOWER = "takes {factor} times as long beside softmax"

KINDS = {
    "accuracy": Kind("paired", 1, least=0.01),
    "outer_accuracy": Kind("paired", 1, least=0.01),
    ACCURACY: Kind("paired", 1, least=0.03),
    "negative_log_likelihood": Kind("paired", -1, share=0.1),
    "solve_iterations": Kind("median", -1, 0.1, 2, why="the solver needs more iterations"),
    "gradient_error": Kind(
        "each", -1, 9, 1e-3, 0.1, why="the gradient no longer agrees with finite differences"
    ),
    "saved_megabytes": Kind("each", -1, why="a training step saves more for its backward pass"),
    "first_step_loss": Kind(
        "each", 0, 1e-3, why="loss, order of batches, initialisation or data differ"
    ),
    "first_step_length": Kind("each", 0, 0.01, why="learning rate, optimizer or gradient differ"),
    "step_ratio": Kind("ranks", -1, 0.5, why=f"a training step {_SLOWER}"),
    "stage_ratio": Kind("ranks", -1, 0.5, why=f"the stage {{stage}} {_SLOWER}"),
}
"""By the metric without its stage. Equal code, data and seeds give the same numbers without a test
on every machine, up to rounding, as they are known before the second step of training."""


def kind_name(metric: str) -> str:
    """Key in ``KINDS``: "stage_ratio" for "stage_ratio: solve"."""
    return metric.partition(":")[0]


def stage_name(metric: str) -> str:
    """Stage that a metric is about, "solve" for "stage_ratio: solve"; empty if there is none."""
    return metric.partition(": ")[2]
