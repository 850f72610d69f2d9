"""The numbers of an attack: accuracy, distances, and the images that figures show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lapbench.attacks.base.attack import BY_GRADIENTS, CLEAN, WORST, Attack, BallAttack, Level
from lapbench.attacks.base.quantities import Gradient
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Split
from lapbench.robustness.candidate import EvaluatedCandidate
from lapbench.robustness.worst_case import WorstCase
from lapbench.suite.cells import Robustness
from lapbench.training.metrics import Metric

_KEPT = 32
_SHOWN = 8
_NEIGHBORS = 5
_BATCH = 500


def measure_clean(target: Target, batches: Sequence[Split], split: str) -> list[Metric]:
    """The accuracy without an attack, and the shares of samples whose gradient is 0."""
    clean = [EvaluatedCandidate.unattacked(target, batch).right() for batch in batches]
    values = {"robust_accuracy": torch.cat(clean)}
    kinds: list[Gradient] = ["own", "exact"] if target.gradient_kind == "surrogate" else ["own"]
    for kind in kinds:
        gradients = [target.gradient(b.x, b.y, kind)[b.y >= 0].flatten(1) for b in batches]
        values[f"zero_{kind}_gradient"] = (torch.cat(gradients) == 0).all(dim=1)
    return [
        Metric(name, split, float(value.double().mean()), len(value), attack=CLEAN)
        for name, value in values.items()
    ]


def measure(
    label: str,
    attack: Attack,
    checked: Sequence[Sequence[EvaluatedCandidate]],
    target: Target,
    split: str,
) -> list[Metric]:
    """For each level of an attack its accuracy, distances and own numbers.

    Distances are ‖x' − x‖₂ of all samples, and of those that are wrong in the end. The latter leave
    out failures of an attack that searches for the nearest wrong input. Where ε is in normalised
    units, "input_epsilon" is ε in units of the input, a mean over the channels.
    """
    count = sum(int((first.batch.y >= 0).sum()) for first, *_ in checked)
    norm = attack.norm if isinstance(attack, BallAttack) else ""
    metrics = []
    for level, candidates in _by_level(checked).items():
        right = torch.stack([torch.cat([part.right() for part in parts]) for parts in candidates])
        distance = torch.stack([torch.cat([p.distance() for p in parts]) for parts in candidates])
        kept = right.double().mean(dim=0) if attack.knowledge == "chance" else right.all(dim=0)
        values = {
            "robust_accuracy": kept.double().mean(),
            "distance": distance.mean(),
            "squared_distance": distance.square().mean(),
            "fooling_distance": distance[~right].mean(),
            **{
                name: torch.stack([_cat(parts, name).nanmean() for parts in candidates]).mean()
                for name in candidates[0][0].numbers
            },
        }
        if isinstance(attack, BallAttack) and attack.units == "normalised":
            values["input_epsilon"] = level.value * target.deviation.mean()
        metrics += [
            Metric(
                name,
                split,
                float(value),
                count,
                label,
                norm,
                level.parameter,
                level.value,
                level.steps,
            )
            for name, value in values.items()
            if bool(value.isfinite())
        ]
    return metrics


def _cat(parts: Sequence[EvaluatedCandidate], name: str) -> Tensor:
    return torch.cat([part.numbers[name][part.batch.y >= 0] for part in parts]).double()


def _by_level(
    checked: Sequence[Sequence[EvaluatedCandidate]],
) -> dict[Level, list[tuple[EvaluatedCandidate, ...]]]:
    """For each level its candidates (restarts, draws), each in parts, one a batch."""
    levels: dict[Level, list[tuple[EvaluatedCandidate, ...]]] = {}
    for parts in zip(*checked, strict=True):
        levels.setdefault(parts[0].level, []).append(parts)
    return levels


def measure_worst(
    worst: Sequence[WorstCase], robustness: Robustness, target: Target, split: str
) -> list[Metric]:
    """The accuracy in the worst case at each radius, and more at that of the headline.

    There all samples take their worst candidate at once, predicted jointly and one at a time; and
    each attack has the accuracy that it leaves in that ball, what it found elsewhere moved into it.
    """
    headline = robustness.epsilon or 0.0
    metrics = [
        (label, "robust_accuracy", radius, [getattr(case, name)[radius] for case in worst])
        for label, name in ((WORST, "right"), (BY_GRADIENTS, "right_by_gradients"))
        for radius in worst[0].right
    ]
    metrics.append((WORST, "joint_accuracy", headline, [case.checked().right() for case in worst]))
    metrics.append((WORST, "single_accuracy", headline, [case.one_at_a_time() for case in worst]))
    metrics += [
        (label, "headline_accuracy", headline, [case.by_attack[label] for case in worst])
        for label in worst[0].by_attack
    ]
    if robustness.units == "normalised":
        scale = target.deviation.mean().double()
        metrics += [(WORST, "input_epsilon", r, [r * scale[None]]) for r in worst[0].right]
    return [
        Metric(
            metric,
            split,
            float(torch.cat(parts).double().mean()),
            sum(map(len, parts)),
            label,
            robustness.norm,
            "epsilon",
            radius,
        )
        for label, metric, radius, parts in metrics
    ]


def keep_images(label: str, parts: Sequence[EvaluatedCandidate]) -> dict[str, np.ndarray[Any, Any]]:
    """The first samples as an attack left them, with their predicted classes."""
    known = [part.batch.y >= 0 for part in parts]
    x = torch.cat([part.x[rows] for part, rows in zip(parts, known, strict=True)])
    predicted = torch.cat(
        [
            part.log_probabilities[rows].argmax(dim=1)
            for part, rows in zip(parts, known, strict=True)
        ]
    )
    labels = torch.cat([part.batch.y[rows] for part, rows in zip(parts, known, strict=True)])
    return {
        f"attacked x: {label}": x[:_KEPT].cpu().numpy(),
        f"attacked class: {label}": predicted[:_KEPT].cpu().numpy(),
        "attacked labels": labels[:_KEPT].cpu().numpy(),
    }


@torch.no_grad()
def keep_nearest(target: Target, x: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """For the first inputs the nearest training samples of known class in feature space.

    Features are those that the classifier gets: Euclidean distance, five samples each.
    """
    train = target.task.train
    known = train.y >= 0
    samples, labels = train.x[known], train.y[known]
    features = torch.cat([target.model.features(part) for part in samples.split(_BATCH)])
    distance = torch.cdist(target.model.features(x[:_SHOWN]), features)
    nearest = distance.topk(min(_NEIGHBORS, len(labels)), largest=False).indices
    return {
        "nearest x": samples[nearest].cpu().numpy(),
        "nearest class": labels[nearest].cpu().numpy(),
    }
