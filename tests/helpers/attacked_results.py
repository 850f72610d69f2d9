"""Small results of attacks, for the tests of figures."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from lapbench.reports.results import Results

Number = tuple[str, str, float, int, str, float]
"""Attack, parameter, level, steps, metric, value."""

METHODS = ("softmax", "gll")


def clean(value: float) -> Number:
    return ("none", "", 0.0, 0, "robust_accuracy", value)


def worst(level: float, value: float) -> Number:
    return ("worst case", "epsilon", level, 0, "robust_accuracy", value)


def headline(level: float) -> Number:
    return ("worst case", "epsilon", level, 0, "joint_accuracy", 0.5)


def results(
    numbers: Callable[[str, int], list[Number]],
    arrays: Callable[[str], Any] = lambda _: {},
    trainings: tuple[str, ...] = ("natural",),
    tasks: tuple[str, ...] = ("digits",),
) -> Results:
    """Two repetitions of each method; keys are task/training/method/repetition."""
    rows = [
        {
            "task": task,
            "backbone": "small_cnn",
            "method": method,
            "training": training,
            "repetition": repetition,
            "key": f"{task}/{training}/{method}/{repetition}",
            "metric": metric,
            "value": value,
            "attack": attack,
            "norm": "linf" if parameter == "epsilon" else "",
            "parameter": parameter,
            "level": level,
            "steps": steps,
        }
        for task in tasks
        for training in trainings
        for method in METHODS
        for repetition in (0, 1)
        for attack, parameter, level, steps, metric, value in [
            ("", "", 0.0, 0, "accuracy", 0.99),
            *numbers(f"{task}/{training}/{method}", repetition),
        ]
    ]
    return Results(pd.DataFrame(rows), arrays, lambda _: {})
