"""Sentences on the attacks: their budgets, and attacks without a result."""

from collections import defaultdict
from collections.abc import Iterator

from lapbench.results.records import Record
from lapbench.suite.cells import Cell, PlannedAttack, Robustness
from lapbench.suite.names import name_cells
from lapbench.suite.plan import Plan


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
                "samples take their worst candidate at once; one at a time: each of a hundred of "
                "a batch alone among clean ones."
            )
        budgets = "; ".join(_budget(planned) for planned in about.attacks)
        yield f"Budgets of the attacks: {budgets}."


def unit_conditions(plan: Plan, records: dict[str, Record]) -> list[str]:
    """Normalised ε in units of the input, a sentence for each task."""
    deviations_of: defaultdict[str, set[float]] = defaultdict(set)
    radii: defaultdict[str, set[float]] = defaultdict(set)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        record = records.get(planned.key)
        for metric in record.metrics if record else ():
            if metric.metric == "input_deviation":
                deviations_of[names["task"]].add(metric.value)
                radii[names["task"]] |= set(_normalized_radii(planned.cell))
    lines = []
    for task, deviations in deviations_of.items():
        mean = sum(deviations) / len(deviations)
        converted = "; ".join(f"{e:g} is {e * mean:.4g}" for e in sorted(radii[task]))
        lines.append(
            f"Normalised units on {task}: 1 is {mean:.4g} in units of the input (the standard "
            f"deviation of the training inputs, mean over channels and repetitions): {converted}."
        )
    return lines


def _normalized_radii(cell: Cell) -> Iterator[float]:
    """Yield every ε and α of training and attacks that is in normalised units."""
    if cell.pgd and cell.pgd.units == "normalised":
        yield from (cell.pgd.epsilon, cell.pgd.step_size)
    about = cell.robustness
    if about and about.epsilon and about.units == "normalised":
        yield about.epsilon
    for planned in about.attacks if about else ():
        options = planned.attack.parameters
        if options.get("units") == "normalised":
            yield from options.get("epsilons", [])
            yield from [options["step_size"]] if "step_size" in options else []


def _budget(planned: PlannedAttack) -> str:
    options = ", ".join(
        f"{name} {_text(value)}" for name, value in planned.attack.parameters.items()
    )
    name = "" if planned.label == planned.attack.name else f" = {planned.attack.name}"
    return f"{planned.label}{name} ({options})"


def _text(value: object) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, list) else f"{value}"


def unfinished_attacks(plan: Plan, records: dict[str, Record]) -> tuple[list[str], list[str]]:
    """Lines for attacks without a result, with the reason.

    First those that failed, then those that do not apply.
    """
    cells: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for planned, names in zip(plan.cells, name_cells(plan.cells), strict=True):
        for run in records[planned.key].attacks if planned.key in records else ():
            if run.status != "ok":
                reason = str(run.reason).splitlines()[0]
                cells[run.status, run.label, names["method"], reason].append(planned.key)
    lines: dict[bool, list[str]] = {False: [], True: []}
    for (status, label, method, reason), keys in cells.items():
        lines[status == "skipped"].append(
            f"attack {label} on {method}, {len(keys)} cell(s): {status} ({reason}); "
            f"lapbench show {keys[0]}"
        )
    return lines[False], lines[True]
