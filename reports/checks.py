"""The checks that tell robustness from a hidden gradient, in words."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CheckText:
    """What a check asks, and what its failure says.

    A failure casts doubt on the gradient, which may be hidden, or on the budget of the attack: a
    larger one may break more.
    """

    asks: str
    fails: str
    doubts: Literal["gradient", "budget"] = "gradient"


CHECKS = {
    "white_box_wins": CheckText(
        "whether transfer or black-box attacks break more than all by its own gradient together",
        "a transfer or black-box attack broke more than all by its own gradient together",
    ),
    "monotone_in_epsilon": CheckText(
        "whether accuracy falls as ε grows", "a larger ε left more of it right"
    ),
    "monotone_in_steps": CheckText(
        "whether accuracy falls as steps are added",
        "further steps of an attack left more of it right",
    ),
    "unbounded_breaks": CheckText(
        "whether a single attack without a bound on ε leaves at most 2 %",
        "no single attack without a bound on ε left 2 % or less",
    ),
    "gradients_exist": CheckText(
        "whether its gradient is exactly zero for some samples",
        "more than 1 % of the samples had an exactly zero gradient",
    ),
    "exact_adds_nothing": CheckText(
        "whether the exact gradient breaks more than the surrogate",
        "the exact gradient broke more than the surrogate",
    ),
    "steps_add_nothing": CheckText(
        "whether PGD of more steps, or APGD, breaks more than PGD",
        "PGD of more steps, or APGD, broke more than PGD",
        doubts="budget",
    ),
    "base_sets_add_nothing": CheckText(
        "whether averaging the gradient over base sets breaks more",
        "averaging the gradient over base sets broke more",
        doubts="budget",
    ),
}
"""By the name of the check. One point is tolerated, two where the budget is in doubt."""

NEEDED = ("white_box_wins", "unbounded_breaks", "steps_add_nothing")
"""Without failures, these must have been made before the worst case is more than a bound."""
