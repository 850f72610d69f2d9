"""The checks that tell robustness from a hidden gradient, in words."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """What it means that a check passes, and that it fails.

    A failure says that the gradient is hidden, or that the budget of the attack is too small for
    the accuracy under it to be that under any attack.
    """

    passes: str
    fails: str
    doubts: Literal["gradient", "budget"] = "gradient"


CHECKS = {
    "white_box_wins": Check(
        "no transfer or black-box attack broke more than its own gradient did",
        "a transfer or black-box attack broke more than its own gradient did",
    ),
    "monotone_in_epsilon": Check(
        "accuracy fell as ε grew",
        "a larger ε left more of it right",
    ),
    "monotone_in_steps": Check(
        "accuracy fell as steps were added",
        "further steps of an attack left more of it right",
    ),
    "unbounded_breaks": Check(
        "without a bound on ε at most 2 % stayed right",
        "even without a bound on ε more than 2 % stayed right",
    ),
    "gradients_exist": Check(
        "at most 1 % of the samples had an exactly zero gradient",
        "more than 1 % of the samples had an exactly zero gradient",
    ),
    "exact_adds_nothing": Check(
        "the exact gradient broke no more than the surrogate",
        "the exact gradient broke more than the surrogate",
    ),
    "steps_add_nothing": Check(
        "PGD of more steps, and APGD, broke no more than PGD",
        "PGD of more steps, or APGD, broke more than PGD",
        doubts="budget",
    ),
    "base_sets_add_nothing": Check(
        "averaging the gradient over base sets broke no more",
        "averaging the gradient over base sets broke more",
        doubts="budget",
    ),
}
"""By the name of the check. One point is tolerated, two where the budget is in doubt."""
