"""The attacks of a suite, checked one by one."""

from dataclasses import replace
from typing import Any

from lapbench import discovery
from lapbench.attacks.base.attack import RESERVED, BallAttack
from lapbench.suite.cells import PlannedAttack, Robustness
from lapbench.suite.components import complete
from lapbench.suite.entries import check

_ANY = {"label": "any", "attack": {"name": "any", "parameters": {}}}


def robustness_entry(entry: Any, mistakes: list[str]) -> Robustness | None:
    """The checked table ``robustness``, or None after adding its mistakes."""
    if not isinstance(entry, dict):
        mistakes.append(f"robustness: received {entry!r}; must be a table of epsilon and attacks")
        return None
    table = dict(entry)
    entries = table.pop("attacks", None)
    if not isinstance(entries, list) or not entries:
        mistakes.append(
            f"robustness.attacks: received {entries!r}; must be a list of tables with a name, "
            f"one of: {', '.join(discovery.names('attacks'))}"
        )
        entries = []
    about = check(Robustness, {**table, "attacks": [_ANY]}, "robustness.", mistakes)
    placed = [(f"robustness.attacks[{i}]", each) for i, each in enumerate(entries)]
    attacks = [_attack_entry(each, place, mistakes) for place, each in placed]
    if about is None or not attacks or None in attacks:
        return None
    robustness: Robustness = replace(about, attacks=[attack for attack in attacks if attack])
    mistakes += _contradictions(robustness)
    return robustness


def _attack_entry(entry: Any, place: str, mistakes: list[str]) -> PlannedAttack | None:
    table = dict(entry) if isinstance(entry, dict) else {"name": entry}
    name = table.pop("name", None)
    label = table.pop("label", name)
    if not isinstance(name, str):
        known = ", ".join(discovery.names("attacks"))
        mistakes.append(f"{place}.name: received {name!r}; must be one of {known}")
        return None
    if not isinstance(label, str) or not label or label in RESERVED:
        mistakes.append(
            f"{place}.label: received {label!r}; must be a text other than "
            f"{', '.join(map(repr, RESERVED))}"
        )
        return None
    try:
        kind = discovery.load("attacks", name)
    except discovery.UnknownNameError as error:
        mistakes.append(f"{place}.name: {error}")
        return None
    options = check(kind, table, f"{place}.", mistakes)
    if options is None:
        return None
    return PlannedAttack(label, complete(name, options))


def _contradictions(robustness: Robustness) -> list[str]:
    labels = [planned.label for planned in robustness.attacks]
    mistakes = [
        f"robustness.attacks[{i}]: another attack is called {label!r}; give one of them a label"
        for i, label in enumerate(labels)
        if label in labels[:i]
    ]
    attacks = [planned.create() for planned in robustness.attacks]
    balls = [a for a in attacks if isinstance(a, BallAttack) and robustness.is_ball_of(a)]
    if robustness.epsilon is None:
        if any(
            attack.knowledge != "chance" for attack in attacks if isinstance(attack, BallAttack)
        ):
            mistakes.append(
                "robustness.epsilon: missing; must be the ε of the worst case over all attacks"
            )
    elif not any(attack.epsilons[0] <= robustness.epsilon for attack in balls):
        mistakes.append(
            f"robustness.epsilon: received {robustness.epsilon:g} ({robustness.norm}, "
            f"{robustness.units} units); must be at least the smallest ε of an attack with this "
            "norm and these units; add such an attack"
        )
    return mistakes
