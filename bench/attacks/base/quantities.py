"""The quantities that budgets of attacks are made of."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

Norm = Literal["linf", "l2"]
Units = Literal["input", "normalised"]
Gradient = Literal["own", "exact"]
Knowledge = Literal["white box", "black box", "transfer", "chance", "proof"]


def _increasing(values: list[float]) -> list[float]:
    if any(a >= b for a, b in pairwise(values)):
        raise ValueError(f"{values} is not in increasing order; sort it, each value once")
    return values


def _below_one(shares: list[float]) -> list[float]:
    if shares[-1] >= 1:
        raise ValueError(f"received {shares[-1]}; must be above 0 and below 1")
    return shares


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Levels = Annotated[list[Positive], Field(min_length=1), AfterValidator(_increasing)]
Shares = Annotated[Levels, AfterValidator(_below_one)]
StepCounts = Annotated[list[Count], Field(min_length=1), AfterValidator(_increasing)]
