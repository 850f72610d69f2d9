"""Attacks on a trained model, each checked by the harness rather than believed."""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from lapbench.attacks.base.attack import CLEAN, WORST, Attack, BallAttack, Candidate
from lapbench.attacks.base.loss import column
from lapbench.attacks.base.target import Target, TransferSources
from lapbench.datasets.base.task import Split, Task
from lapbench.datasets.base.validated import validated
from lapbench.errors import NotApplicableError
from lapbench.methods.base.base_set import order_by_class
from lapbench.methods.base.model import Model
from lapbench.robustness.attack_metrics import (
    keep_images,
    keep_nearest,
    measure,
    measure_clean,
    measure_worst,
)
from lapbench.robustness.candidate import EvaluatedCandidate
from lapbench.robustness.gradient_masking import Check, find_checks
from lapbench.robustness.worst_case import WorstCase
from lapbench.seeds import Seeds
from lapbench.suite.cells import Cell, PlannedAttack, Robustness
from lapbench.training.metrics import Metric


@validated
class AttackRun:
    """How an attack on a model ended, beside its numbers.

    Attributes:
        label: its name in tables.
        status: "skipped" where it does not apply; "failed" is tried again in the next run.
        reason: why the status is not "ok".
        queries, gradients: predictions of batches, and gradients of them, that it used.
        traceback: of a failed attack.

    """

    label: str
    status: Literal["ok", "skipped", "failed"]
    reason: str | None = None
    queries: int = 0
    gradients: int = 0
    traceback: str | None = None


@dataclass(eq=False)
class Assessment:
    """What attacks made of a model: numbers, runs, seconds of each, and arrays for figures."""

    metrics: list[Metric]
    runs: list[AttackRun] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    arrays: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)


def assess_cell(
    cell: Cell,
    robustness: Robustness,
    model: Model,
    task: Task,
    sources: TransferSources,
    on_attack: Callable[[str], None],
) -> Assessment:
    """Run the attacks of a cell on its trained model, and check whether its gradient is hidden.

    ``sources`` gives the models of other cells; the rest is as in :func:`assess`.
    """
    target = target_of(cell, model, task, sources)
    name = cell.evaluation.split
    split = attacked_split(getattr(task, name), robustness.samples, task.nodes_only)
    size = cell.batch_size(task)
    assessment = assess(target, split, name, robustness, size, cell.seeds, on_attack)
    assessment.checks = find_checks(assessment.metrics, robustness, target)
    return assessment


def target_of(cell: Cell, model: Model, task: Task, sources: TransferSources) -> Target:
    """The model of a cell as its attacks see it."""
    head = cell.method.create_head()
    dependent = head.batch_dependent or task.nodes_only
    return Target(model, task, cell.seeds, head.gradient_kind, sources, dependent)


def assess(
    target: Target,
    split: Split,
    name: str,
    robustness: Robustness,
    batch_size: int,
    seeds: Seeds,
    on_attack: Callable[[str], None] = lambda _: None,
) -> Assessment:
    """Run all attacks on samples, in fixed batches which no sample ever leaves.

    Every candidate is clipped to its ball and to the bounds, and predicted again in its batch. An
    attack that raises is a failed run, and the others go on. There is a worst case if the suite
    names its ε and an attack that searches for wrong inputs has run.

    Args:
        target: the trained model.
        split: the samples to attack; see :func:`attacked_split`.
        name: of the split that they are from.
        robustness: the attacks, and the ball of the worst case.
        batch_size: samples of a batch.
        seeds: a stream for each kind of attack and batch, the same for every method.
        on_attack: called with the label of each attack before it runs.

    """
    batches = [
        Split(*batch)
        for batch in zip(split.x.split(batch_size), split.y.split(batch_size), strict=True)
    ]
    radii = radii_of(robustness)
    worst = [WorstCase(target, batch, radii, robustness) for batch in batches if radii]
    assessment = Assessment(measure_clean(target, batches, name))
    assessment.arrays |= keep_images(
        CLEAN, [EvaluatedCandidate.unattacked(target, batch) for batch in batches]
    )
    searched = False
    for planned in robustness.attacks:
        on_attack(planned.label)
        start, before = time.perf_counter(), target.spent()
        run, checked = _run_attack(planned, target, batches, seeds)
        queries, gradients = target.spent()
        assessment.runs.append(
            replace(run, queries=queries - before[0], gradients=gradients - before[1])
        )
        assessment.seconds[planned.label] = time.perf_counter() - start
        if run.status == "ok":
            attack = planned.create()
            assessment.metrics += measure(planned.label, attack, checked, target, name)
            assessment.arrays |= keep_images(planned.label, [last for *_, last in checked])
            if worst and attack.knowledge != "chance":
                searched = True
                for case, candidates in zip(worst, checked, strict=True):
                    for candidate in candidates:
                        case.add(planned.label, attack, candidate)
    if searched:
        assessment.metrics += measure_worst(worst, robustness, target, name)
        assessment.arrays |= keep_images(WORST, [case.checked() for case in worst])
        if not target.task.nodes_only:
            assessment.arrays |= keep_nearest(
                target, torch.cat([case.checked().x for case in worst])
            )
    return assessment


def attacked_split(split: Split, samples: int, nodes_only: bool) -> Split:
    """So many samples in the proportions of the classes, always the same.

    On a node task it is all nodes, of which so many have a class.
    """
    by_class = order_by_class(split.y.cpu(), np.random.default_rng(0))
    count = min(samples, len(by_class))
    even = ((torch.arange(count) + 0.5) * len(by_class) / count).long()
    rows = by_class[even].sort().values.to(split.y.device)
    if not nodes_only:
        return Split(split.x[rows], split.y[rows])
    hidden = torch.full_like(split.y, -1)
    hidden[rows] = split.y[rows]
    return Split(split.x, hidden)


def _run_attack(
    planned: PlannedAttack, target: Target, batches: Sequence[Split], seeds: Seeds
) -> tuple[AttackRun, list[list[EvaluatedCandidate]]]:
    """How an attack ended, and for each batch its candidates as they were checked."""
    try:
        attack = planned.create()
        if reason := attack.skip(target):
            return AttackRun(planned.label, "skipped", reason), []
        checked = []
        for number, batch in enumerate(batches):
            torch.manual_seed(seeds.integer(f"attack {planned.attack.name}", number))
            checked.append(
                [
                    _evaluate(target, attack, candidate, batch)
                    for candidate in attack.perturb(target, batch.x.clone(), batch.y.clone())
                ]
            )
        levels = [[each.level for each in candidates] for candidates in checked]
        if not levels[0] or any(each != levels[0] for each in levels):
            raise ValueError(f"levels: received {levels}; must be the same in each batch")
        return AttackRun(planned.label, "ok"), checked
    except NotApplicableError as error:
        return AttackRun(planned.label, "skipped", str(error)), []
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        run = AttackRun(planned.label, "failed", reason, traceback=traceback.format_exc())
        return run, []


@torch.no_grad()
def _evaluate(
    target: Target, attack: Attack, candidate: Candidate, batch: Split
) -> EvaluatedCandidate:
    """Clip a candidate to ball and bounds, and predict it again if it changed inputs alone.

    What has no class stays as it was.
    """
    x = candidate.x.detach()
    rows = [
        len(each)
        for each in (candidate.log_probabilities, *candidate.numbers.values())
        if each is not None
    ]
    if x.shape != batch.x.shape or any(count != len(x) for count in rows):
        raise ValueError(
            f"candidate: received {tuple(x.shape)}, with predictions or numbers of {rows} "
            f"samples; must be the whole batch, {tuple(batch.x.shape)}"
        )
    if isinstance(attack, BallAttack):
        level = candidate.level.value
        x = target.ball(batch.x, level, attack.norm, attack.units).project(x)
    elif target.bounds is not None:
        x = x.clamp(*target.bounds)
    x = torch.where(column(batch.y >= 0, x), x, batch.x)
    given = candidate.log_probabilities
    predicted = target.log_probabilities(x) if given is None else given.detach()
    if not bool(predicted.isfinite().all()):
        raise ValueError(f"log_probabilities: received NaN or infinity at {candidate.level}")
    return EvaluatedCandidate(
        candidate.level, batch, x, predicted, candidate.numbers, given is not None
    )


def radii_of(robustness: Robustness) -> list[float]:
    """The ε of all attacks in the ball of the worst case, and of the headline."""
    if robustness.epsilon is None:
        return []
    radii = {robustness.epsilon}
    for planned in robustness.attacks:
        attack = planned.create()
        if isinstance(attack, BallAttack) and robustness.is_ball_of(attack):
            radii.update(attack.epsilons)
    return sorted(radii)
