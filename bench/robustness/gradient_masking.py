"""Is a model robust, or is its gradient hidden? Checks on the numbers of its attacks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from lapbench.attacks.base.attack import BY_GRADIENTS, CLEAN, Attack, BallAttack
from lapbench.attacks.base.target import Target
from lapbench.datasets.base.validated import validated
from lapbench.suite.cells import Robustness
from lapbench.training.metrics import Metric

TOLERANCE = 0.01 + 1e-9
CHANGED = 0.02 + 1e-9
NOTHING_LEFT = 0.02
Verdict = Literal["pass", "fail", "not measured", "does not apply"]
Finding = tuple[bool, str]
Curve = dict[float, dict[int, float]]
"""Accuracy by ε and number of steps."""


@validated
class Check:
    """A check on the attacks of one trained model.

    Attributes:
        name: of the check, which ``lapbench.reports.checks`` puts into words.
        verdict: "pass"; "fail" where robustness may be an illusion; or why there is neither.
        evidence: the numbers behind it.

    """

    name: str
    verdict: Verdict
    evidence: str


def find_checks(metrics: Sequence[Metric], robustness: Robustness, target: Target) -> list[Check]:
    """A check for each of them, "not measured" where its attacks gave no numbers.

    Args:
        metrics: of the attacks on the trained model.
        robustness: the attacks.
        target: the trained model.

    """
    attacks = {planned.label: planned.create() for planned in robustness.attacks}
    curves = {label: _curve(metrics, label) for label in attacks}
    measured = {label: attack for label, attack in attacks.items() if curves[label]}
    balls = [
        (label, attack)
        for label, attack in measured.items()
        if isinstance(attack, BallAttack) and robustness.is_ball_of(attack)
    ]
    plains = [label for label, attack in balls if attack.is_plain]
    plain = next((p for p in plains if robustness.epsilon in curves[p]), "")
    steps = _last_step(curves[plain]) if plain else 0
    longer = [
        label
        for label, attack in balls
        if (attack.is_plain and _last_step(curves[label]) > steps)
        or (attack.adapts_steps and attack.gradient == "own")
    ]
    from_random = [(label, attack) for label, attack in balls if attack.searches_from_random]
    exact = [label for label, attack in from_random if attack.gradient == "exact"]
    averaged = [label for label, attack in from_random if attack.base_sets > 1]
    findings_by_check = {
        "white_box_wins": _white_box_wins(balls, curves, _curve(metrics, BY_GRADIENTS)),
        "monotone_in_epsilon": _monotone_in_epsilon(balls, curves, _curve(metrics, CLEAN)),
        "monotone_in_steps": _monotone_in_steps(balls, curves),
        "unbounded_breaks": _unbounded_breaks(measured, curves, target.bounds),
        "gradients_exist": _gradients_exist(metrics),
        "exact_adds_nothing": _adds_nothing(plain, exact, curves, TOLERANCE),
        "steps_add_nothing": _adds_nothing(plain, longer, curves),
        "base_sets_add_nothing": _adds_nothing(plain, averaged, curves),
    }
    inapplicable = {
        "unbounded_breaks": "" if target.bounds else "the inputs have no bounds",
        "exact_adds_nothing": ""
        if target.gradient_kind == "surrogate"
        else f"its own gradient is no surrogate ({target.gradient_kind})",
        "base_sets_add_nothing": "" if target.has_base_set else "it has no base set that is drawn",
    }
    return [
        Check(name, *_verdict(findings, inapplicable.get(name, "")))
        for name, findings in findings_by_check.items()
    ]


def _verdict(findings: Sequence[Finding], inapplicable: str) -> tuple[Verdict, str]:
    if inapplicable:
        return "does not apply", inapplicable
    if not findings:
        return "not measured", "its attacks were not run, or do not apply"
    failures = [evidence for passed, evidence in findings if not passed]
    if failures:
        return "fail", "; ".join(failures)
    return "pass", "; ".join(evidence for _, evidence in findings[:2])


Balls = Sequence[tuple[str, BallAttack]]
Curves = dict[str, Curve]


def _curve(metrics: Sequence[Metric], label: str) -> Curve:
    curve: Curve = {}
    for metric in metrics:
        if metric.attack == label and metric.metric == "robust_accuracy":
            curve.setdefault(metric.level, {})[metric.steps] = metric.value
    return curve


def _final(curve: Curve) -> dict[float, float]:
    """The accuracy after the last step, by ε in increasing order."""
    return {epsilon: steps[max(steps)] for epsilon, steps in sorted(curve.items())}


def _last_step(curve: Curve) -> int:
    """The largest number of steps, at the largest ε."""
    return max(curve[max(curve)])


def _white_box_wins(balls: Balls, curves: Curves, by_gradients: Curve) -> list[Finding]:
    """Compare with the attacks by its own gradient, all together, each that uses none of it."""
    white = _final(by_gradients)
    return [
        (
            white[epsilon] <= accuracy + TOLERANCE,
            f"ε = {epsilon:g}: {white[epsilon]:.1%} by its gradient, {accuracy:.1%} by {label}",
        )
        for label, attack in balls
        if attack.knowledge in ("black box", "transfer")
        for epsilon, accuracy in _final(curves[label]).items()
        if epsilon in white
    ]


def _monotone_in_epsilon(balls: Balls, curves: Curves, clean: Curve) -> list[Finding]:
    findings = []
    for label in _iterated(balls):
        points = list(_final(clean | curves[label]).items())
        findings += [
            (
                second <= first + TOLERANCE,
                f"{label}: {first:.1%} at ε = {a:g}, {second:.1%} at {b:g}",
            )
            for (a, first), (b, second) in pairwise(points)
        ]
    return findings


def _monotone_in_steps(balls: Balls, curves: Curves) -> list[Finding]:
    findings = []
    for label in _iterated(balls):
        for epsilon, steps in curves[label].items():
            points = sorted(steps.items())
            findings += [
                (
                    second <= first + TOLERANCE,
                    f"{label}, ε = {epsilon:g}: {first:.1%} after {a} steps, "
                    f"{second:.1%} after {b}",
                )
                for (a, first), (b, second) in pairwise(points)
            ]
    return findings


def _iterated(balls: Balls) -> list[str]:
    return [label for label, attack in balls if attack.iterates]


def _unbounded_breaks(
    measured: dict[str, Attack], curves: Curves, bounds: tuple[float, float] | None
) -> list[Finding]:
    if bounds is None:
        return []
    left = [
        (accuracy, label)
        for label, attack in measured.items()
        if isinstance(attack, BallAttack) and (attack.norm, attack.units) == ("linf", "input")
        for epsilon, accuracy in _final(curves[label]).items()
        if epsilon >= bounds[1] - bounds[0]
    ]
    return (
        [(min(left)[0] <= NOTHING_LEFT, f"{min(left)[0]:.1%} left by {min(left)[1]}")]
        if left
        else []
    )


def _gradients_exist(metrics: Sequence[Metric]) -> list[Finding]:
    return [
        (metric.value <= TOLERANCE, f"{metric.value:.1%} of the samples have none")
        for metric in metrics
        if metric.metric == "zero_own_gradient"
    ]


def _adds_nothing(
    plain: str, probes: Sequence[str], curves: Curves, tolerance: float = CHANGED
) -> list[Finding]:
    """Compare with the plain attack those that have more than it, at each ε of both."""
    reference = _final(curves.get(plain, {}))
    return [
        (
            accuracy >= reference[epsilon] - tolerance,
            f"ε = {epsilon:g}: {reference[epsilon]:.1%} by {plain}, {accuracy:.1%} by {label}",
        )
        for label in probes
        for epsilon, accuracy in _final(curves[label]).items()
        if epsilon in reference
    ]
