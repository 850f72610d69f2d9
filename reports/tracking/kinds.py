"""Which metrics are compared between two runs, and how."""

import math
from dataclasses import dataclass
from typing import Literal

from lapbench.reports.robustness import ACCURACY

_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class Kind:
    """How the numbers of a metric are compared.

    Args:
        test: "paired": the mean change over repetitions, by the paired t test after correction;
            "each": every repetition for itself, of what equal code gives again; "median": medians,
            without a test; "ranks": the factor between medians, by the rank test of Mann and
            Whitney.
        better: 1 where more is better, −1 where less is, 0 where neither is.
        share, least, most: a change counts beyond the larger of share · baseline and least, but
            always beyond most; a factor beyond 1 + share, or below 1/(1 + share).
        why: what a failure says; places in braces take the stage and the factor.

    """

    test: Literal["paired", "each", "median", "ranks"]
    better: Literal[1, 0, -1]
    share: float = 0.0
    least: float = 0.0
    most: float = math.inf
    why: str = ""

    def exceeds(self, change: float, baseline: float) -> bool:
        """Tell whether a change, or of ranks a factor, is beyond the margin."""
        if self.test == "ranks":
            limit = _ROUNDING * (1 + self.share)
            return change > limit or change < 1 / limit
        margin = min(max(self.share * abs(baseline), self.least), self.most)
        return abs(change) > _ROUNDING * margin


KINDS = {
    "accuracy": Kind("paired", 1, least=0.01),
    "outer_accuracy": Kind("paired", 1, least=0.01),
    ACCURACY: Kind("paired", 1, least=0.03),
    "negative_log_likelihood": Kind("paired", -1, share=0.1),
    "solve_iterations": Kind(
        "median", -1, share=0.1, least=2, why="the solver needs more iterations"
    ),
    "gradient_error": Kind(
        "each",
        -1,
        share=9,
        least=1e-3,
        most=0.1,
        why="its gradient no longer agrees with finite differences",
    ),
    "step_megabytes": Kind(
        "median", -1, share=0.25, least=2, why="a training step needs more memory"
    ),
    "first_step_loss": Kind(
        "each",
        0,
        share=1e-3,
        why="training differs before its first step: loss, order of batches, initialisation or "
        "data",
    ),
    "first_step_length": Kind(
        "each",
        0,
        share=0.01,
        why="the first step of training has another length: learning rate, optimiser or gradient",
    ),
    "step_ratio": Kind(
        "ranks", -1, share=0.5, why="a training step takes {factor} times as long beside softmax"
    ),
    "stage_ratio": Kind(
        "ranks", -1, share=0.5, why="the stage {stage} takes {factor} times as long beside softmax"
    ),
}
"""By the metric, its stage left out. Of equal code, data and seeds, memory, and what is known of a
training before its second step, are the same on every machine up to rounding. Later rounding may
have grown: a trained model is the same on the same kind of processor alone."""


def kind_name(metric: str) -> str:
    """Return the name in ``KINDS`` of a metric: "stage_ratio" of "stage_ratio: solve"."""
    return metric.partition(":")[0]


def stage_name(metric: str) -> str:
    """Return the stage that a metric is about, empty if it is about none."""
    return metric.partition(": ")[2]
