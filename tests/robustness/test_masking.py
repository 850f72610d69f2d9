"""A hidden gradient is told from robustness by the numbers of the attacks."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
import torch
from make_attacks import trained
from make_toys import Toy, first, plan, samples
from torch import Tensor

from lapbench.attacks.base.attack import BY_GRADIENTS, CLEAN
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.task import Task
from lapbench.methods.base.capabilities import HasBaseSet
from lapbench.methods.base.model import GradientKind, Model
from lapbench.methods.softmax import LinearModel
from lapbench.reports.checks import CHECKS
from lapbench.robustness.assess import Assessment, assess, attacked_split
from lapbench.robustness.gradient_masking import Check, find_checks
from lapbench.seeds import Seeds
from lapbench.suite.cells import PlannedAttack, Robustness
from lapbench.training.metrics import Metric

PGD = plan("pgd", epsilons=[0.1, 0.2], steps=[5, 10])
IFGSM = plan("ifgsm", epsilons=[0.1, 0.2], step_size=0.05)
FGSM = plan("fgsm", epsilons=[0.1, 0.2])
TRANSFER = plan("transfer", epsilons=[0.1, 0.2], steps=[10])
SQUARE = plan("square", epsilons=[0.1, 0.2], queries=10)
EXACT = plan("pgd", "exact", epsilons=[0.1, 0.2], steps=[10], gradient="exact")
AVERAGED = plan("pgd", "averaged", epsilons=[0.1, 0.2], steps=[10], base_sets=10)
LONGER = plan("pgd", "longer", epsilons=[0.1, 0.2], steps=[40])
APGD = plan("apgd-ce", epsilons=[0.1, 0.2], steps=10)
UNBOUNDED = plan("pgd", "unbounded", epsilons=[1.0], steps=[10])
ATTACKS = [PGD, IFGSM, FGSM, TRANSFER, SQUARE, EXACT, AVERAGED, LONGER, APGD, UNBOUNDED]

Curves = Mapping[str, dict[tuple[float, int], float]]
"""Accuracy by label, ε and steps."""
GOOD: Curves = {
    "pgd": {(0.1, 5): 0.62, (0.1, 10): 0.60, (0.2, 5): 0.35, (0.2, 10): 0.30},
    "ifgsm": {(0.1, 10): 0.61, (0.2, 20): 0.31},
    "fgsm": {(0.1, 1): 0.70, (0.2, 1): 0.75},
    "transfer": {(0.1, 10): 0.80, (0.2, 10): 0.70},
    "square": {(0.1, 10): 0.65, (0.2, 10): 0.40},
    "exact": {(0.1, 10): 0.60, (0.2, 10): 0.30},
    "averaged": {(0.1, 10): 0.60, (0.2, 10): 0.30},
    "longer": {(0.1, 40): 0.59, (0.2, 40): 0.29},
    "apgd-ce": {(0.1, 10): 0.59, (0.2, 10): 0.29},
    "unbounded": {(1.0, 10): 0.0},
}


class _Based(Toy, HasBaseSet):
    def with_cached_base_set(self) -> Model:
        return self

    def with_resampled_base_set(self, task: Task, rng: object) -> Model:  # noqa: ARG002
        return self


def flags(
    curves: Curves,
    zero: float = 0.0,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    kind: GradientKind = "surrogate",
    model: type[Toy] = _Based,
    attacks: list[PlannedAttack] = ATTACKS,
    **options: Any,
) -> dict[str, Check]:
    """The flags by name of a model whose attacks left these accuracies."""
    split = samples([1.0])
    target = Target(model(first), Task("t", split, split, split, 2, bounds), Seeds("t", 0), kind)
    metrics = [
        Metric("robust_accuracy", "test", 0.95, 100, CLEAN),
        Metric("zero_own_gradient", "test", zero, 100, CLEAN),
        Metric("zero_exact_gradient", "test", 1.0, 100, CLEAN),
    ]
    for epsilon, value in by_gradients(curves).items():
        level = (BY_GRADIENTS, "linf", "epsilon", epsilon)
        metrics.append(Metric("robust_accuracy", "test", value, 100, *level))
    for label, points in curves.items():
        for (epsilon, steps), value in points.items():
            level = (label, "linf", "epsilon", epsilon, steps)
            metrics.append(Metric("robust_accuracy", "test", value, 100, *level))
            metrics.append(Metric("distance", "test", 7.0, 100, *level))
    checks = find_checks(metrics, Robustness(attacks, 0.1, **options), target)
    assert len({flag.name for flag in checks}) == len(checks)
    return {flag.name: flag for flag in checks}


def by_gradients(curves: Curves) -> dict[float, float]:
    """What all attacks by the model's own gradient leave together, at the least."""
    checks: dict[float, float] = {}
    for label, points in curves.items():
        if label not in ("transfer", "square", "exact"):
            for epsilon, steps in sorted(points):
                last = max(s for e, s in points if e == epsilon)
                if steps == last:
                    value = points[epsilon, steps]
                    checks[epsilon] = min(value, checks.get(epsilon, 1.0))
    return checks


def changed(label: str, points: dict[tuple[float, int], float]) -> Curves:
    return {**GOOD, label: {**GOOD[label], **points}}


def test_every_check_is_made_and_explained():
    assert list(flags(GOOD)) == list(CHECKS)
    assert list(flags({})) == list(CHECKS)
    for check in CHECKS.values():
        assert check.asks != check.fails


def test_good_numbers_pass_every_check():
    assert {name: flag.verdict for name, flag in flags(GOOD).items()} == dict.fromkeys(
        CHECKS, "pass"
    )


@pytest.mark.parametrize(
    ("name", "label", "points", "evidence"),
    [
        # The strongest attack by gradients leaves 29 % at 0.2.
        (
            "white_box_wins",
            "transfer",
            {(0.2, 10): 0.27},
            "ε = 0.2: 29.0% by its gradient, 27.0% by tran",
        ),
        (
            "white_box_wins",
            "square",
            {(0.1, 10): 0.5},
            "ε = 0.1: 59.0% by its gradient, 50.0% by squ",
        ),
        ("monotone_in_epsilon", "pgd", {(0.2, 10): 0.62}, "pgd: 60.0% at ε = 0.1, 62.0% at 0.2"),
        ("monotone_in_epsilon", "ifgsm", {(0.2, 20): 0.7}, "ifgsm: 61.0% at ε = 0.1, 70.0% at 0.2"),
        (
            "monotone_in_steps",
            "pgd",
            {(0.1, 5): 0.5},
            "pgd, ε = 0.1: 50.0% after 5 steps, 60.0% after 10",
        ),
        ("unbounded_breaks", "unbounded", {(1.0, 10): 0.03}, "3.0% left by unbounded"),
        ("exact_adds_nothing", "exact", {(0.2, 10): 0.2}, "ε = 0.2: 30.0% by pgd, 20.0% by exact"),
        ("steps_add_nothing", "longer", {(0.1, 40): 0.5}, "ε = 0.1: 60.0% by pgd, 50.0% by longer"),
        ("steps_add_nothing", "apgd-ce", {(0.1, 10): 0.5}, "ε = 0.1: 60.0% by pgd, 50.0% by apgd"),
        ("base_sets_add_nothing", "averaged", {(0.2, 10): 0.2}, "20.0% by averaged"),
    ],
)
def test_check_fails_with_the_numbers_behind_it(
    name: str, label: str, points: dict[tuple[float, int], float], evidence: str
):
    flag = flags(changed(label, points))[name]
    assert flag.verdict == "fail"
    assert evidence in flag.evidence
    assert ";" not in flag.evidence


def test_every_failure_is_evidence():
    flag = flags(changed("transfer", {(0.1, 10): 0.2, (0.2, 10): 0.1}))["white_box_wins"]
    assert flag.evidence == (
        "ε = 0.1: 59.0% by its gradient, 20.0% by transfer; "
        "ε = 0.2: 29.0% by its gradient, 10.0% by transfer"
    )


def test_zero_gradients_fail_with_their_share():
    flag = flags(GOOD, zero=0.25)["gradients_exist"]
    assert (flag.verdict, flag.evidence) == ("fail", "25.0% of the samples have none")


@pytest.mark.parametrize(
    ("name", "label", "point", "within", "beyond"),
    [
        ("white_box_wins", "transfer", (0.2, 10), 0.28, 0.2799),
        ("monotone_in_epsilon", "pgd", (0.2, 10), 0.61, 0.6101),
        ("monotone_in_steps", "pgd", (0.1, 5), 0.59, 0.5899),
        ("unbounded_breaks", "unbounded", (1.0, 10), 0.02, 0.0201),
        ("exact_adds_nothing", "exact", (0.1, 10), 0.59, 0.5899),
        ("steps_add_nothing", "longer", (0.1, 40), 0.58, 0.5799),
        ("base_sets_add_nothing", "averaged", (0.1, 10), 0.58, 0.5799),
    ],
)
def test_one_point_is_tolerated_and_two_where_the_budget_is_in_doubt(
    name: str, label: str, point: tuple[float, int], within: float, beyond: float
):
    curves = changed("pgd", {(0.2, 5): 0.61}) if name == "monotone_in_epsilon" else GOOD
    for value, verdict in ((within, "pass"), (beyond, "fail")):
        assert flags({**curves, label: {**curves[label], point: value}})[name].verdict == verdict


def test_share_of_zero_gradients_is_tolerated_up_to_one_percent():
    assert flags(GOOD, zero=0.01)["gradients_exist"].verdict == "pass"
    assert flags(GOOD, zero=0.0101)["gradients_exist"].verdict == "fail"


def test_tolerance_is_one_sample_of_a_hundred_whatever_the_accuracy():
    for right in range(1, 100):
        curves = {"pgd": {(0.1, 10): right / 100}, "transfer": {(0.1, 10): (right - 1) / 100}}
        assert flags(curves)["white_box_wins"].verdict == "pass", right


NEEDS = {
    "white_box_wins": {"transfer", "square"},
    "monotone_in_epsilon": {"pgd", "ifgsm", "exact", "averaged", "longer", "unbounded"},
    "monotone_in_steps": {"pgd"},
    "unbounded_breaks": {"unbounded"},
    "exact_adds_nothing": {"exact"},
    "steps_add_nothing": {"longer", "apgd-ce"},
    "base_sets_add_nothing": {"averaged"},
}


@pytest.mark.parametrize("name", NEEDS)
def test_without_its_attacks_a_check_is_not_measured(name: str):
    """As where they failed, were skipped, or are not in the suite."""
    curves = {label: points for label, points in GOOD.items() if label not in NEEDS[name]}
    for attacks in (ATTACKS, [attack for attack in ATTACKS if attack.label not in NEEDS[name]]):
        flag = flags(curves, attacks=attacks)[name]
        assert flag.verdict == "not measured"
        assert flag.evidence == "its attacks were not run, or do not apply"


def test_single_point_is_compared_with_samples_that_are_not_attacked():
    for accuracy, verdict in ((0.5, "pass"), (0.97, "fail")):
        checks = flags({"pgd": {(0.1, 10): accuracy}})
        assert checks["monotone_in_epsilon"].verdict == verdict
        assert checks["monotone_in_steps"].verdict == "not measured"


def test_unbounded_attack_counts_beside_a_headline_in_another_norm():
    for left, verdict in ((0.0, "pass"), (0.1, "fail")):
        checks = flags(changed("unbounded", {(1.0, 10): left}), norm="l2")
        assert checks["unbounded_breaks"].verdict == verdict


@pytest.mark.parametrize(
    ("name", "options", "evidence"),
    [
        ("unbounded_breaks", {"bounds": None}, "the inputs have no bounds"),
        ("exact_adds_nothing", {"kind": "exact"}, "its own gradient is no surrogate (exact)"),
        ("exact_adds_nothing", {"kind": "autograd"}, "its own gradient is no surrogate (autograd)"),
        ("base_sets_add_nothing", {"model": Toy}, "it has no base set that is drawn"),
    ],
)
def test_check_that_does_not_apply_says_why(name: str, options: dict[str, Any], evidence: str):
    checks = flags(GOOD, **options)
    assert checks[name] == Check(name, "does not apply", evidence)
    assert sum(flag.verdict == "does not apply" for flag in checks.values()) == 1


@pytest.mark.parametrize("options", [{"norm": "l2"}, {"units": "normalised"}])
def test_attacks_in_another_ball_are_not_compared(options: dict[str, Any]):
    checks = flags(changed("transfer", {(0.1, 10): 0.0}), **options)
    anywhere = ("gradients_exist", "unbounded_breaks")
    assert {flag.verdict for name, flag in checks.items() if name not in anywhere} == {
        "not measured"
    }


def test_attack_of_one_step_need_not_be_monotone():
    assert GOOD["fgsm"][0.2, 1] > GOOD["fgsm"][0.1, 1] + 0.01
    assert flags(GOOD)["monotone_in_epsilon"].verdict == "pass"


def test_accuracy_is_that_after_the_last_step():
    curves = changed("pgd", {(0.2, 5): 0.9})
    assert flags(curves)["monotone_in_epsilon"].verdict == "pass"


class _Saturated(LinearModel):
    """Logits so large that p is 0 or 1 in float32, and ∇ log p exactly 0."""

    def outputs(self, features: Tensor) -> Tensor:
        return 1e4 * super().outputs(features)


class _Rounded(LinearModel):
    """Inputs rounded to nine values, of which the derivative is 0."""

    def features(self, x: Tensor) -> Tensor:
        return super().features((8 * x).round() / 8)


def judged(model: Model) -> tuple[Assessment, dict[str, Check]]:
    """The flags of a model under PGD and under transfer from the plain model."""
    source, task, seeds = trained("softmax", "two_moons")
    target = Target(model, task, seeds, sources=lambda _: source)
    about = Robustness(
        [
            plan("pgd", epsilons=[0.2, 0.4], steps=[5, 20], restarts=8),
            plan("transfer", epsilons=[0.2, 0.4], steps=[20], restarts=8),
        ],
        0.4,
    )
    split = attacked_split(task.test, about.samples, nodes_only=False)
    checks = assess(target, split, "test", about, 100, seeds)
    assert {run.status for run in checks.runs} == {"ok"}
    return checks, {flag.name: flag for flag in find_checks(checks.metrics, about, target)}


@pytest.mark.parametrize("kind", [_Saturated, _Rounded])
def test_masked_model_is_caught_and_the_plain_one_is_not(kind: type[LinearModel]):
    plain, _, _ = trained("softmax", "two_moons")
    _, checks = judged(plain)
    for name in ("gradients_exist", "white_box_wins", "monotone_in_epsilon", "monotone_in_steps"):
        assert checks[name].verdict == "pass", checks[name]
    masked = deepcopy(plain)
    masked.__class__ = kind
    assessed, checks = judged(masked)
    accuracy = {m.attack: m.value for m in assessed.metrics if m.metric == "robust_accuracy"}
    assert accuracy["pgd"] > accuracy["worst case"] + 0.1
    assert checks["gradients_exist"].verdict == "fail"
    assert checks["white_box_wins"].verdict == "fail"
    assert "by transfer" in checks["white_box_wins"].evidence


def test_masked_model_predicts_as_the_plain_one():
    plain, task, _ = trained("softmax", "two_moons")
    masked = deepcopy(plain)
    masked.__class__ = _Saturated
    with torch.no_grad():
        predicted = (model(task.test.x).argmax(dim=1) for model in (masked, plain))
        first_classes, second_classes = predicted
    assert torch.equal(first_classes, second_classes)
