"""What a reader must know of the attacks: their budgets, and which have no result."""

from collections import defaultdict
from collections.abc import Iterator

from lapbench.cells import PlannedAttack, Robustness
from lapbench.frame import name_cells
from lapbench.records import Plan, Record


def attack_conditions(plan: Plan) -> Iterator[str]:
    """Yield in sentences the samples, the worst case, and the budget of each attack."""
    tested: dict[str, Robustness] = {
        repr(planned.cell.robustness): planned.cell.robustness
        for planned in plan.cells
        if planned.cell.robustness
    }
    for about in tested.values():
        yield (
            f"Attacked: at most {about.samples} samples in the proportions of the classes, the "
            "same in every repetition, in fixed batches that no sample leaves; every candidate is "
            "clipped to ball and bounds and predicted again. What is left to chance is a mean over "
            "draws."
        )
        if about.epsilon:
            yield (
                "Worst case: a sample is right if it is under every attack in the "
                f"{about.norm} ball of ε = {about.epsilon:g} ({about.units} units), chance left "
                "out; what was found in other norms is moved into the ball first. Jointly: all "
                "samples take their worst candidate at once; one at a time: each alone among "
                "clean ones."
            )
        budgets = "; ".join(_budget(planned) for planned in about.attacks)
        yield f"Budgets of the attacks: {budgets}."


def _budget(planned: PlannedAttack) -> str:
    options = ", ".join(
        f"{name} {_text(value)}" for name, value in planned.attack.parameters.items()
    )
    name = "" if planned.label == planned.attack.name else f" = {planned.attack.name}"
    return f"{planned.label}{name} ({options})"


def _text(value: object) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, list) else f"{value}"


def unfinished_attacks(plan: Plan, records: dict[str, Record]) -> tuple[list[str], list[str]]:
    """Return a line for every attack that a method has no result of, with the reason.

    First those that failed, then those that do not apply.
    """
    found: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        for run in records[planned.key].attacks if planned.key in records else ():
            if run.status != "ok":
                reason = str(run.reason).splitlines()[0]
                found[run.status, run.label, names["method"], reason].append(planned.key)
    lines: dict[bool, list[str]] = {False: [], True: []}
    for (status, label, method, reason), keys in found.items():
        lines[status == "skipped"].append(
            f"attack {label} on {method}, {len(keys)} cell(s): {status} ({reason}); "
            f"lapbench show {keys[0]}"
        )
    return lines[False], lines[True]
