"""Hand-made frames of numbers, with and without attacks."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lapbench.reports.results import Results
from lapbench.results.tidy import COLUMNS, FLAG_COLUMNS

Number = tuple[str, str, str, float, int, str]
_NUMBER = ("attack", "norm", "parameter", "level", "steps", "metric")
PLAIN: Number = ("", "", "", 0.0, 0, "accuracy")
CLEAN: Number = ("none", "", "", 0.0, 0, "robust_accuracy")
ZERO: Number = ("none", "", "", 0.0, 0, "zero_own_gradient")
WORST_HALF: Number = ("worst case", "linf", "epsilon", 0.05, 0, "robust_accuracy")
WORST: Number = ("worst case", "linf", "epsilon", 0.1, 0, "robust_accuracy")
JOINT: Number = ("worst case", "linf", "epsilon", 0.1, 0, "joint_accuracy")
SINGLE: Number = ("worst case", "linf", "epsilon", 0.1, 0, "single_accuracy")
FGSM: Number = ("fgsm", "linf", "epsilon", 0.1, 1, "robust_accuracy")
DISTANCE: Number = ("fgsm", "linf", "epsilon", 0.1, 1, "distance")
PGD_5: Number = ("pgd", "linf", "epsilon", 0.1, 5, "robust_accuracy")
PGD_10: Number = ("pgd", "linf", "epsilon", 0.1, 10, "robust_accuracy")
DEEPFOOL: Number = ("deepfool", "", "", 0.0, 30, "robust_accuracy")
NOISE: Number = ("gaussian-noise", "", "snr", 20.0, 0, "robust_accuracy")

SOFTMAX: dict[Number, list[Any]] = {
    CLEAN: [0.9],
    ZERO: [0.0],
    WORST_HALF: [0.6],
    WORST: [0.3],
    JOINT: [0.31],
    SINGLE: [0.32],
    FGSM: [0.5],
    DISTANCE: [0.7],
    PGD_5: [0.4],
    PGD_10: [0.35],
    DEEPFOOL: [0.02],
    ("pgd", "linf", "epsilon", 0.1, 0, "headline_accuracy"): [0.35],
    ("cw-strong", "linf", "epsilon", 0.1, 0, "headline_accuracy"): [0.33],
}


NO_FLAGS = pd.DataFrame(columns=FLAG_COLUMNS)


def frame(**methods: dict[Number, list[Any]]) -> pd.DataFrame:
    """A tidy frame: by method, each number in every repetition, and the plain accuracy."""
    rows = [
        {
            "task": "digits",
            "backbone": "mlp",
            "method": method,
            "training": "natural",
            "gradient": "exact",
            "repetition": repetition,
            "key": f"{method}{repetition}",
            "status": "ok",
            "split": "test",
            "value": value,
            "count": 128 if number[0] else 450,
            **dict(zip(_NUMBER, number, strict=True)),
        }
        for method, numbers in methods.items()
        for number, values in {PLAIN: [0.93], **numbers}.items()
        for repetition, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def plain_frame(
    task: str = "digits", backbone: str = "mlp", /, **accuracies: list[Any]
) -> pd.DataFrame:
    """A tidy frame without attacks: by method, its accuracies; None is a failed cell."""
    cells = frame(**{method: {PLAIN: list(own)} for method, own in accuracies.items()})
    place = f"{task}/{backbone}/"
    key = place + cells["key"].astype(str)
    cells = cells.assign(task=task, backbone=backbone, key=key, reason=None)
    failed = [value is None for own in accuracies.values() for value in own]
    cells.loc[failed, ["status", "reason", "metric"]] = ["failed", "ValueError: a | b\nc", None]
    return cells


Metric = tuple[str, str, float, int, str, float]
"""Attack, parameter, level, steps, metric, value."""

METHODS = ("softmax", "gll")


def clean(value: float) -> Metric:
    return ("none", "", 0.0, 0, "robust_accuracy", value)


def worst(level: float, value: float) -> Metric:
    return ("worst case", "epsilon", level, 0, "robust_accuracy", value)


def headline(level: float) -> Metric:
    return ("worst case", "epsilon", level, 0, "joint_accuracy", 0.5)


def results(
    numbers: Callable[[str, int], list[Metric]],
    arrays: Callable[[str], Any] = lambda _: {},
    trainings: tuple[str, ...] = ("natural",),
    tasks: tuple[str, ...] = ("digits",),
    methods: Sequence[str] = METHODS,
    curves: Callable[[str], Any] = lambda _: {},
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
        for method in methods
        for repetition in (0, 1)
        for attack, parameter, level, steps, metric, value in [
            ("", "", 0.0, 0, "accuracy", 0.99),
            *numbers(f"{task}/{training}/{method}", repetition),
        ]
    ]
    return Results(pd.DataFrame(rows), arrays, curves)


GLL, WNLL = "GLL paper (arXiv:2412.08016)", "WNLL paper (Eur. J. Appl. Math. 32, 2021)"


MANIFOLD, BILEVEL = "sparse-manifold paper (arXiv:2003.04286)", "bilevel paper (arXiv:2303.13964)"
